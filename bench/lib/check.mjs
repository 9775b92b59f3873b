// What the plain double-precision references share.

/** Fixed pseudo-random positions below `count`, first and last included; all of them when few. */
export function positions(name, count, wanted) {
  if (count <= wanted) return Array.from({ length: count }, (_, i) => i);
  let state = 0x811c9dc5;
  for (const c of name) state = Math.imul(state ^ c.charCodeAt(0), 0x01000193) >>> 0;
  const found = [0, count - 1];
  while (found.length < wanted) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    found.push(Math.floor((state / 2 ** 32) * count));
  }
  return found;
}

/** Throws unless every value is within its own bound; returns the largest fraction of a bound used. */
export function verify(what, checks) {
  let worst = 0;
  for (const { got, expected, allowed } of checks) {
    const error = Math.abs(got - expected);
    if (!(error <= allowed)) {
      throw new Error(`${what}: got ${got}, expected ${expected} within ${allowed}`);
    }
    if (allowed > 0) worst = Math.max(worst, error / allowed);
  }
  if (checks.length === 0) throw new Error(`${what}: nothing was checked`);
  return { values: checks.length, worst };
}

export function gelu(x) {
  return (x * erfc(-x / Math.SQRT2)) / 2;
}

// Numerical Recipes' Chebyshev fit of erfc is only good to 1e-7: the series and the continued fraction
// are plain and exact to double precision.
function erfc(x) {
  const a = Math.abs(x);
  if (a > 6) return x > 0 ? 0 : 2;
  if (a < 2.5) {
    let [term, sum] = [a, a];
    for (let n = 1; Math.abs(term) > 1e-18 * sum; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    const erf = (2 / Math.sqrt(Math.PI)) * sum;
    return x < 0 ? 1 + erf : 1 - erf;
  }
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (a + fraction);
  const tail = Math.exp(-a * a) / ((a + fraction) * Math.sqrt(Math.PI));
  return x < 0 ? 2 - tail : tail;
}

/** Keys' cubic with a = -0.5. */
export function cubic(x) {
  const a = Math.abs(x);
  if (a >= 2) return 0;
  return a < 1 ? (1.5 * a - 2.5) * a * a + 1 : ((-0.5 * a + 2.5) * a - 4) * a + 2;
}
