// Exact ranking metrics of scores with 0/1 labels, as scikit-learn's roc_auc_score and
// average_precision_score define them: equal scores share one threshold, nothing is interpolated.
//
// Both need only the scores of the two classes in order, so those are sorted apart, as plain typed
// arrays, and merged: some ten million pixels take seconds.

/**
 * AUROC (area under the ROC curve) and AP (average precision).
 *
 * @param {ArrayLike<number>} scores higher is more abnormal; infinities are fine, NaN is refused
 * @param {ArrayLike<number>} labels 0 or 1, as many
 * @returns {{ auroc: number | null, ap: number | null, positives: number, negatives: number }}
 *   null: undefined, because a class has no sample
 * @throws RangeError
 */
export function rank(scores, labels) {
  const { abnormal, normal } = sortedByLabel(scores, labels);
  const counts = { positives: abnormal.length, negatives: normal.length };
  if (abnormal.length === 0 || normal.length === 0) return { auroc: null, ap: null, ...counts };
  // Pairs of one abnormal and one normal sample that are in order, a tie counting half. Doubled, it
  // is an integer, exact below 2^53.
  let doubledPairs = 0;
  let precisions = 0;
  let p = abnormal.length - 1;
  let n = normal.length - 1;
  while (p >= 0) {
    const threshold = abnormal[p];
    while (n >= 0 && normal[n] > threshold) n--;
    const [lastP, lastN] = [p, n];
    while (p >= 0 && abnormal[p] === threshold) p--;
    while (n >= 0 && normal[n] === threshold) n--;
    const [below, ties] = [n + 1, lastN - n];
    doubledPairs += (lastP - p) * (2 * below + ties);
    const [found, falseAlarms] = [abnormal.length - 1 - p, normal.length - 1 - n];
    precisions += (lastP - p) * (found / (found + falseAlarms));
  }
  return {
    auroc: doubledPairs / (2 * abnormal.length * normal.length),
    ap: precisions / abnormal.length,
    ...counts,
  };
}

/** @returns {number | null} see {@link rank} */
export function auroc(scores, labels) {
  return rank(scores, labels).auroc;
}

/** @returns {number | null} see {@link rank} */
export function averagePrecision(scores, labels) {
  return rank(scores, labels).ap;
}

/** Mean of what is defined; null where nothing is. */
export function meanOf(values) {
  const defined = values.filter((value) => value !== null);
  return defined.length === 0 ? null : defined.reduce((a, b) => a + b, 0) / defined.length;
}

function sortedByLabel(scores, labels) {
  if (scores.length !== labels.length) {
    throw new RangeError(`Expected ${scores.length} labels but received ${labels.length}`);
  }
  let positives = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== 0 && labels[i] !== 1) {
      throw new RangeError(`Expected label 0 or 1 at ${i} but received ${labels[i]}`);
    }
    if (Number.isNaN(scores[i])) throw new RangeError(`Expected a score at ${i} but received NaN`);
    positives += labels[i];
  }
  // Float32 scores keep their type: half the memory, and they sort faster.
  const Scores = scores instanceof Float32Array ? Float32Array : Float64Array;
  const abnormal = new Scores(positives);
  const normal = new Scores(scores.length - positives);
  for (let i = 0, p = 0, n = 0; i < scores.length; i++) {
    if (labels[i] === 1) abnormal[p++] = scores[i];
    else normal[n++] = scores[i];
  }
  return { abnormal: abnormal.sort(), normal: normal.sort() };
}
