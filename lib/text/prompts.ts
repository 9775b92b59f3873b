// The sentences that describe a class, intact and damaged.
import { checkOptions, checkString, invalid, isPlainObject } from '../validate';
import { MAX_TEXT_LENGTH } from './clean';

/** Most sentences in either list. */
export const MAX_PROMPTS = 256;

export const NORMAL_STATES: readonly string[] = ['{}', 'a {}', 'the {}'];
export const ABNORMAL_STATES: readonly string[] = [
  'a damaged {}',
  'a broken {}',
  'a {} with flaw',
  'a {} with defect',
  'a {} with damage',
];
export const TEMPLATES: readonly string[] = ['{}.', 'a photo of {}.'];

/** Sentences of one class; each list is averaged, so their order changes no result. */
export interface Prompts {
  normal: string[];
  abnormal: string[];
}

/** Each string holds `{}`: in a state it stands for the noun, in a template for the state. */
export interface PromptOverrides {
  normalStates?: readonly string[];
  abnormalStates?: readonly string[];
  templates?: readonly string[];
}

const OVERRIDES = ['normalStates', 'abnormalStates', 'templates'];

/**
 * The prompts of a class: every state with every template, states outermost, in the order in which
 * ACD-CLIP publishes them (6 normal and 10 abnormal). The noun may hold any characters; `{}` or
 * `$&` in it stay as they are.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG, ERR_ACD_UNKNOWN_OPTION
 */
export function promptsFor(noun: string, overrides: PromptOverrides = {}): Prompts {
  checkString('noun', noun);
  checkOptions('prompts', overrides, OVERRIDES);
  const templates = checkPatterns('templates', overrides.templates ?? TEMPLATES);
  const sentences = (name: string, states: readonly string[]) =>
    checkPatterns(name, states).flatMap((state) =>
      templates.map((template) => fill(template, fill(state, noun))),
    );
  return checkPrompts({
    normal: sentences('normalStates', overrides.normalStates ?? NORMAL_STATES),
    abnormal: sentences('abnormalStates', overrides.abnormalStates ?? ABNORMAL_STATES),
  });
}

/**
 * Sentences that a user wrote: a plain object of two non-empty arrays, at most MAX_PROMPTS each, of
 * non-empty strings. Returns a copy.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG, ERR_ACD_UNKNOWN_OPTION
 */
export function checkPrompts(value: unknown): Prompts {
  if (!isPlainObject(value)) {
    throw invalid('prompts', 'object { normal: string[], abnormal: string[] }', value);
  }
  checkOptions('prompts', value, ['normal', 'abnormal']);
  return {
    normal: checkStrings('prompts.normal', value.normal),
    abnormal: checkStrings('prompts.abnormal', value.abnormal),
  };
}

function checkStrings(name: string, value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_PROMPTS) {
    throw invalid(name, `array of 1 to ${MAX_PROMPTS} strings`, value);
  }
  // Array.from visits holes as well, which map would skip.
  return Array.from(value, (text: unknown, i) => {
    const sentence = checkString(`${name}[${i}]`, text);
    if (sentence.length > MAX_TEXT_LENGTH) {
      throw invalid(`${name}[${i}]`, `string of at most ${MAX_TEXT_LENGTH} characters`, sentence);
    }
    return sentence;
  });
}

function checkPatterns(name: string, value: unknown): string[] {
  const patterns = checkStrings(name, value);
  patterns.forEach((pattern, i) => {
    if (!pattern.includes('{}')) throw invalid(`${name}[${i}]`, 'string with {} in it', pattern);
  });
  return patterns;
}

// Not String.replace, which would interpret a `$&` in the filling.
function fill(pattern: string, filling: string): string {
  return pattern.split('{}').join(filling);
}
