import type { Clock } from "../lib/clock.ts";
import { dropTimer, MAX_DELAY_MS } from "../lib/timers.ts";
import type { MintedLease } from "./source.ts";

/** A lease is not handed out in its last 5 s, or last fifth if it lives shorter: a call takes time. */
const MARGIN_MS = 5_000;
const MARGIN_SHARE = 5;
/** Renewed when this much of its life is over, or a little earlier, so that not all are renewed at once. */
const RENEW_AT = 2 / 3;
const JITTER = 1 / 10;

/** A lease that lives on as long as it is wanted, and may. */
export interface KeptAlive {
  readonly expires: number;
  /** Until when it lives at its source if nobody revokes it. */
  readonly endsAt: number;
  /** Whether it lives long enough to be handed out now; that it was is what it is renewed for. */
  use(): boolean;
  /** It is renewed until the returned function is called. */
  hold(): () => void;
  isHeld(): boolean;
  stop(): void;
}

interface Keeping {
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  /** Nobody holds it any more. */
  onIdle(): void;
  onRenewed(requestId: string | undefined): void;
  /** It is tried again. */
  onFailure(thrown: unknown): void;
  /** Called once, when nothing is left to keep alive. gone: its source ended it early. */
  onOver(how: "expired" | "gone"): void;
}

/** When what is to be done. */
interface Life {
  readonly expires: number;
  readonly endsAt: number;
  /** For how long its source gave it. */
  readonly lasts: number;
  readonly usableUntil: number;
  /** Infinity: it is not renewed. */
  readonly renewAt: number;
}

type Given = Pick<MintedLease, "expires" | "endsAt">;

export function keepAlive(minted: Given & Pick<MintedLease, "renew">, keeping: Keeping): KeptAlive {
  const { clock, random } = keeping;
  let life = lifeOf(minted, minted.renew !== undefined);
  /** Handed out since it was last renewed. */
  let used = true;
  /** Calls and children that still work with it. */
  let holders = 0;
  let renewing = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  function lifeOf({ expires, endsAt = expires }: Given, isRenewable: boolean): Life {
    const now = clock();
    const left = expires - now;
    const usableUntil = expires - Math.min(MARGIN_MS, left / MARGIN_SHARE);
    const renewAt = isRenewable ? now + left * (RENEW_AT - random() * JITTER) : Infinity;
    return { expires, endsAt, lasts: endsAt - now, usableUntil, renewAt };
  }

  function isWanted(): boolean {
    return used || holders > 0;
  }

  /** Sleeps until the next thing to do: to renew it while it is wanted, to let go of it when it is over. */
  function wake(): void {
    dropTimer(timer);
    const { expires, renewAt } = life;
    if (expires === Number.POSITIVE_INFINITY) return;
    const due = isWanted() && !renewing ? Math.min(renewAt, expires) : expires;
    timer = setTimeout(tick, Math.min(Math.max(due - clock(), 1), MAX_DELAY_MS)).unref();
  }

  function tick(): void {
    if (clock() >= life.expires) keeping.onOver("expired");
    else renewIfDue();
  }

  function renewIfDue(): void {
    if (stopped) return;
    if (isWanted() && !renewing && clock() >= life.renewAt) void renew();
    wake();
  }

  async function renew(): Promise<void> {
    renewing = true;
    // An answer that is late or lost tells nothing: its source may have let it live on all the same.
    life = { ...life, endsAt: Math.max(life.endsAt, clock() + life.lasts) };
    try {
      const renewed = await minted.renew?.();
      if (stopped) return;
      if (!renewed) return keeping.onOver("gone");
      // One that has come to its longest life is renewed no more: another takes its place.
      life = lifeOf(renewed, renewed.expires > life.expires);
      used = false;
      keeping.onRenewed(renewed.requestId);
    } catch (thrown) {
      if (stopped) return;
      keeping.onFailure(thrown);
      life = { ...life, renewAt: clock() + Math.max(500, (life.expires - clock()) / 4) };
    } finally {
      renewing = false;
      if (!stopped) wake();
    }
  }

  wake();
  return {
    get expires() {
      return life.expires;
    },
    get endsAt() {
      return life.endsAt;
    },
    use() {
      if (clock() >= life.usableUntil) return false;
      if (!used) {
        used = true;
        renewIfDue();
      }
      return true;
    },
    hold() {
      holders += 1;
      if (holders === 1 && !used) renewIfDue();
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        holders -= 1;
        if (holders === 0) keeping.onIdle();
      };
    },
    isHeld: () => holders > 0,
    stop() {
      stopped = true;
      dropTimer(timer);
    },
  };
}
