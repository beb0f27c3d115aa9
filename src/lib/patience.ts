/** Waits for work at most so many milliseconds; true: it is done. It goes on by itself: nobody hears how it ends after that. */
export async function patiently(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  const done = await Promise.race([work.then(() => true), patience]);
  clearTimeout(timer);
  return done;
}
