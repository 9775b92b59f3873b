// Values of options, checked while commander reads them: a wrong one is a usage error that names it.
import { InvalidArgumentError } from 'commander';

const HINT = 'If that is a picture: put pictures before the options, or after "--".';

export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = toNumber(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected an integer between ${min} and ${max}.`);
  };
}

export function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = toNumber(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number between ${min} and ${max}.`);
  };
}

/** For options whose value may be left out: what follows them may be a picture's name. */
export function optionalNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = toNumber(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number between ${min} and ${max}. ${HINT}`);
  };
}

/** "6,12,18,24" */
export function integers(text: string): number[] {
  const values = text.split(',').map(toNumber);
  if (values.every((v) => Number.isInteger(v) && v > 0)) return values;
  throw new InvalidArgumentError('Expected layer numbers with commas between, like 6,12,18,24.');
}

/** NaN for what is not plainly a number; Number() alone takes '' and '0x10'. */
function toNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}
