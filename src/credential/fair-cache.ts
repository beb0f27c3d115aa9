/** What is kept by tenant and key, each tenant's in the order of use. */
export interface FairCache<T> {
  /** What stands there; from now on it was used last. */
  find(tenant: string, key: string): T | undefined;
  /** Gives who has to go, where there is no more room. */
  put(tenant: string, key: string, one: T): T | undefined;
  /** Takes it out, unless another stands there by now. */
  drop(tenant: string, key: string, one: T): void;
  all(): Iterable<T>;
}

/**
 * At most `capacity` for all tenants together. When there is no more room the tenant that holds the most gives up what it
 * has not used for longest: nobody loses anything to a tenant that holds more.
 */
export function createFairCache<T>(capacity: number): FairCache<T> {
  /** A Map keeps the order of insertion. */
  const tenants = new Map<string, Map<string, T>>();
  let size = 0;

  /** Only when something new is put, and all is full. */
  function surplus(own: Map<string, T>): T | undefined {
    // What is just being put stays: its tenant gives up another, or has none.
    let most = own.size > 1 ? own : undefined;
    for (const other of tenants.values()) {
      if (other !== own && other.size > (most?.size ?? 0)) most = other;
    }
    return most?.values().next().value;
  }

  return {
    find(tenant, key) {
      const own = tenants.get(tenant);
      const found = own?.get(key);
      if (own === undefined || found === undefined) return undefined;
      own.delete(key);
      own.set(key, found);
      return found;
    },
    put(tenant, key, one) {
      const own = tenants.get(tenant) ?? new Map<string, T>();
      tenants.set(tenant, own);
      if (!own.delete(key)) size += 1;
      own.set(key, one);
      return size > capacity ? surplus(own) : undefined;
    },
    drop(tenant, key, one) {
      const own = tenants.get(tenant);
      if (own?.get(key) !== one) return;
      own.delete(key);
      size -= 1;
      if (own.size === 0) tenants.delete(tenant);
    },
    *all() {
      for (const own of tenants.values()) yield* own.values();
    },
  };
}
