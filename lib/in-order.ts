// Several pieces of work at once, results in the order of their inputs.

/**
 * Runs `work` on up to `limit` items of a source at a time. A result is handed out as soon as it and
 * all before it are there, even while the source is silent: whoever sends the pictures may wait for
 * it before sending more. The source is asked for an item only when there is room for it.
 *
 * `leave` is called when the loop over it ends, before the source is closed and running work is
 * waited for.
 */
export async function* inOrder<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
  leave: () => void = () => {},
): AsyncGenerator<R, void, undefined> {
  const items = each(source);
  const running: Promise<R>[] = [];
  let open = true;
  let coming: Promise<IteratorResult<T, void>> | undefined;
  try {
    while (open || running.length > 0) {
      if (open && running.length < limit) coming ??= watched(items.next());
      const came = coming && (await Promise.race([coming, ...running.slice(0, 1).map(finished)]));
      if (came === undefined) {
        yield await running.shift()!;
      } else {
        coming = undefined;
        if (came.done) open = false;
        else running.push(watched(work(came.value)));
      }
    }
  } finally {
    leave();
    const closed = watched(items.return());
    await Promise.allSettled(running);
    // A source that waits for its next item closes when that has come, which may be never.
    await Promise.race([closed, new Promise(setImmediate)]);
  }
}

/** One protocol for both kinds of source; closing it closes the source. */
async function* each<T>(
  source: AsyncIterable<T> | Iterable<T>,
): AsyncGenerator<T, void, undefined> {
  yield* source;
}

function finished(work: Promise<unknown>): Promise<undefined> {
  return work.then(() => undefined);
}

/** A failure counts when its turn comes; until then it must not pass for unhandled. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
