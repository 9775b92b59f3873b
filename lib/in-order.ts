// Several pieces of work at once, results in the order of their inputs.

/**
 * Runs `work` on up to `limit` items of a source at a time. A result is handed out as soon as it and
 * all before it are there, even while the source is silent: a program at the other end of a pipe
 * may wait for it before it sends more.
 */
export async function* inOrder<T, R>(
  source: AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const items = source[Symbol.asyncIterator]();
  const running: Promise<R>[] = [];
  let coming: Promise<IteratorResult<T>> | undefined = watched(items.next());
  try {
    while (coming !== undefined || running.length > 0) {
      const came: IteratorResult<T> | undefined =
        coming !== undefined && running.length < limit
          ? await Promise.race([coming, ...running.slice(0, 1).map((r) => r.then(() => undefined))])
          : undefined;
      if (came === undefined) {
        yield await running.shift()!;
      } else if (came.done) {
        coming = undefined;
      } else {
        running.push(watched(work(came.value)));
        coming = watched(items.next());
      }
    }
  } finally {
    await Promise.allSettled(running);
  }
}

/** A failure counts when its turn comes; until then it must not pass for unhandled. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
