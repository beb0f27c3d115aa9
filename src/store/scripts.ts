import { createHash } from "node:crypto";

/** What the server must do in one step. Each script touches its one key alone. */
export interface Script {
  readonly text: string;
  /** Its name on the server. */
  readonly sha1: string;
}

function script(text: string): Script {
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
}

/** The server's own clock: replicas' clocks may differ. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** ARGV: before, value, ttl. */
export const REPLACE = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`);

/** A sorted set of members by the time they end. ARGV: member, ttl, max. */
export const JOIN = script(`${NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`);

export const MEMBERS = script(`${NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)`);

const BOUNDS = `
local first = tonumber(redis.call('HGET', KEYS[1], 'first') or 1)
local next = tonumber(redis.call('HGET', KEYS[1], 'next') or 1)`;

/** A hash of values by place, so that a log is one key and goes as one. ARGV: value, ttl, max entries, max bytes. */
export const APPEND = script(`${BOUNDS}
local bytes = tonumber(redis.call('HGET', KEYS[1], 'bytes') or 0) + #ARGV[1]
redis.call('HSET', KEYS[1], next, ARGV[1])
while first <= next and (next - first + 1 > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4])) do
  bytes = bytes - redis.call('HSTRLEN', KEYS[1], first)
  redis.call('HDEL', KEYS[1], first)
  first = first + 1
end
redis.call('HSET', KEYS[1], 'first', first, 'next', next + 1, 'bytes', bytes)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return next`);

/** ARGV: place. */
export const AFTER = script(`${BOUNDS}
local from = ARGV[1] + 1
if from < first or from > next then return false end
local values = {}
for place = from, next - 1 do values[#values + 1] = redis.call('HGET', KEYS[1], place) end
return values`);
