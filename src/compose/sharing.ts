import { randomBytes } from "node:crypto";
import { resolveSecret } from "../config/secret.ts";
import type { SharedStore } from "../domain.ts";
import { randomId } from "../lib/ids.ts";
import { createSeal, type Seal } from "../lib/seal.ts";
import type { Secret } from "../lib/secret.ts";
import { createReplicas, type Replicas } from "../protocol/replicas.ts";
import { createMemoryStore } from "../store/memory.ts";
import type { Ground } from "./ground.ts";
import { secretsOf } from "./secrets.ts";

type Parts = Pick<Ground, "config" | "env" | "log" | "clock" | "closing">;

/** What this replica has in common with the others. */
export interface Sharing {
  readonly store: SharedStore;
  readonly seal: Seal;
  /** What `seal` was made from. */
  readonly key: Secret | Buffer;
  readonly replicas: Replicas;
  /** There is no other. */
  readonly isAlone: boolean;
}

export async function openSharing(parts: Parts): Promise<Sharing> {
  const { log, clock, closing } = parts;
  const store = closing.add(await openStore(parts), (opened) => opened.close());
  const key = await keyOf(parts);
  const seal = createSeal(key);
  const replicas = closing.add(
    await createReplicas({ store, seal, node: randomId(), newId: randomId, clock, log }),
    (opened) => opened.close(),
  );
  return { store, seal, key, replicas, isAlone: parts.config.sessions.store === "memory" };
}

async function openStore({ config, env, log, clock }: Parts): Promise<SharedStore> {
  const { store } = config.sessions;
  if (store === "memory") return createMemoryStore({ clock });
  const { url, username, password, ca, prefix } = store;
  // Its client is a sixth of what a start loads.
  const { openValkeyStore } = await import("../store/valkey.ts");
  return openValkeyStore({
    url,
    prefix,
    log,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: await resolveSecret(password, secretsOf({ env })) }),
    ...(ca !== undefined && { ca: await secretsOf({ env }).readFile(ca) }),
  });
}

/** One replica alone needs a key for as long as it lives. */
async function keyOf({ config, env }: Parts) {
  const { key } = config.sessions;
  return key === undefined ? randomBytes(32) : resolveSecret(key, secretsOf({ env }));
}
