/** Milliseconds since the Unix epoch. Injected wherever time matters, so that tests need not wait. */
export type Clock = () => number;

export const systemClock: Clock = () => Date.now();
