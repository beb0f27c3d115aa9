/**
 * What outlives a request and is the same for every replica: in memory where there is one, in Valkey where there are
 * several. Keys and values are text; whoever puts a secret into a value seals it first. Rejects with
 * `store_unavailable`.
 */
export interface SharedStore {
  get(key: string): Promise<string | undefined>;
  /** Like `get`, and lets it live `ttlMs` from now. */
  touch(key: string, ttlMs: number): Promise<string | undefined>;
  set(key: string, value: string, ttlMs: number): Promise<void>;
  /** Only if there is none: false if there was. A lock is this with a short life. */
  add(key: string, value: string, ttlMs: number): Promise<boolean>;
  /** Only if it still is `before`: false if not. */
  replace(key: string, before: string, value: string, ttlMs: number): Promise<boolean>;
  /** A value or a log. */
  delete(key: string): Promise<boolean>;
  /** Adds a member that lives `ttlMs`, unless `max` others live already: false. A member again: its life is renewed. */
  join(set: string, member: string, ttlMs: number, max: number): Promise<boolean>;
  leave(set: string, member: string): Promise<void>;
  /** Those that live. */
  members(set: string): Promise<readonly string[]>;
  /** Appends to a log, which drops its oldest beyond the limits; gives the entry's place: 1, 2, … */
  append(
    log: string,
    value: string,
    limits: { readonly entries: number; readonly bytes: number },
    ttlMs: number,
  ): Promise<number>;
  /** The entries after a place, oldest first; undefined when some of them are gone already, or it never got there. */
  after(
    log: string,
    place: number,
  ): Promise<readonly { readonly place: number; readonly value: string }[] | undefined>;
  /** To every replica that listens, this one included; at most once, in order. */
  publish(channel: string, message: string): Promise<void>;
  /** Never rejects: while the store is away nothing is heard, and then again. */
  subscribe(channel: string, listener: (message: string) => void): Promise<() => Promise<void>>;
  /** false: its server does not answer. */
  readonly healthy: boolean;
  close(): Promise<void>;
}
