// Long loops over pixels on the JavaScript thread, in slices that let other work in between.
import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long a slice may take before the loop yields, ms. */
const SLICE_MS = 1;

/** Calls `step(i)` for 0 <= i < count, at most ~1 ms at a stretch; rejects when `signal` aborts. */
export async function paced(
  count: number,
  step: (i: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  let since = performance.now();
  for (let i = 0; i < count; i++) {
    step(i);
    if (performance.now() - since > SLICE_MS) {
      await nextTurn();
      signal?.throwIfAborted();
      since = performance.now();
    }
  }
}
