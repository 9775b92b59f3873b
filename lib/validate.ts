// The one vocabulary for checking what users pass in. Message shape everywhere:
// "Expected integer between 1 and 8 for threads but received 0 of type number".
import { AcdClipError } from './errors';

/** A short, safe rendering of any value for messages. */
export function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  }
  if (value === null || ['number', 'boolean', 'undefined', 'bigint'].includes(typeof value)) {
    return Object.is(value, -0) ? '-0' : String(value);
  }
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (ArrayBuffer.isView(value) && 'length' in value) return `a ${tag} of ${value.length}`;
  return tag === 'Object' ? 'an object' : `a ${tag}`;
}

/** The error for a value that is not what `name` needs. */
export function invalid(name: string, expected: string, actual: unknown): AcdClipError {
  const plain = ['string', 'number', 'boolean', 'bigint'].includes(typeof actual);
  const type = plain ? ` of type ${typeof actual}` : '';
  return new AcdClipError(
    'ERR_ACD_INVALID_ARG',
    `Expected ${expected} for ${name} but received ${show(actual)}${type}`,
  );
}

/** An object of no class: a literal, or one without prototype. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  // Object.getPrototypeOf(proto) === null: a plain object of any realm (Jest, vm), not only ours.
  return proto === null || Object.getPrototypeOf(proto) === null;
}

/** A string with at least one character. Throws ERR_ACD_INVALID_ARG. */
export function checkString(name: string, value: unknown): string {
  if (typeof value !== 'string' || value.length === 0) {
    throw invalid(name, 'non-empty string', value);
  }
  return value;
}

/** A boolean. Throws ERR_ACD_INVALID_ARG. */
export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(name, 'boolean', value);
  return value;
}

/** A whole number between min and max, both included. Throws ERR_ACD_INVALID_ARG. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(name, `integer between ${min} and ${max}`, value);
  }
  return value;
}

/** A number between min and max, both included; never NaN. Throws ERR_ACD_INVALID_ARG. */
export function checkNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw invalid(name, `number between ${min} and ${max}`, value);
  }
  return value;
}

/** One of the allowed strings. Throws ERR_ACD_INVALID_ARG. */
export function checkOneOf<T extends string>(
  name: string,
  value: unknown,
  allowed: readonly T[],
): T {
  if (typeof value !== 'string' || !(allowed as readonly string[]).includes(value)) {
    throw invalid(name, `one of ${allowed.join(', ')}`, value);
  }
  return value as T;
}

/** A function. Throws ERR_ACD_INVALID_ARG. */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw invalid(name, 'function', value);
}

/** An AbortSignal of any realm, by shape. */
export function checkSignal(name: string, value: unknown): AbortSignal {
  const s = value as AbortSignal | null;
  if (
    typeof s !== 'object' ||
    s === null ||
    typeof s.aborted !== 'boolean' ||
    typeof s.addEventListener !== 'function'
  ) {
    throw invalid(name, 'AbortSignal', value);
  }
  return s;
}

/**
 * Options must be a plain object with known keys only; a misspelt key is an error that names the
 * nearest known one. `undefined` counts as {}.
 */
export function checkOptions(where: string, value: unknown, known: readonly string[]): void {
  if (value === undefined) return;
  if (!isPlainObject(value)) throw invalid(`options of ${where}`, 'plain object', value);
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      const near = nearest(key, known);
      throw new AcdClipError(
        'ERR_ACD_UNKNOWN_OPTION',
        `Unknown option ${show(key)} for ${where}${near ? `; did you mean "${near}"?` : ''}`,
        { help: `Options of ${where}: ${known.join(', ')}.` },
      );
    }
  }
}

/** The known name within an edit distance of a third of its length, or undefined. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const k of known) {
    const d = editDistance(word.toLowerCase().slice(0, 64), k.toLowerCase());
    if (d < bestDistance && d <= Math.max(1, Math.ceil(k.length / 3))) {
      best = k;
      bestDistance = d;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
