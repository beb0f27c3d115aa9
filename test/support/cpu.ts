/** Starts a clock of the CPU time of this process, in milliseconds: on a busy machine work takes longer, but costs no more. */
export function cpuClock(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
}
