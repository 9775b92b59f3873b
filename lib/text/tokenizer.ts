// Sentences to the token ids of CLIP's text tower.
import { AcdClipError } from '../errors';
import { checkInteger, checkOptions, invalid, show } from '../validate';
import { clean } from './clean';
import { readMerges } from './vocabulary';

export const START_OF_TEXT = 49406;
export const END_OF_TEXT = 49407;
export const VOCABULARY_SIZE = 49408;
export const CONTEXT_LENGTH = 77;

export interface TokenBatch {
  /** [prompts, length], row-major, zero padded behind each end-of-text token. */
  tokens: Int32Array;
  prompts: number;
  /** Tokens of the longest prompt, start and end included: what is behind it influences nothing. */
  length: number;
}

export interface TokenizeOptions {
  /** Most tokens that the text tower takes; default 77. */
  contextLength?: number;
  /** Rows of the checkpoint's token embedding; default 49,408. */
  vocabSize?: number;
}

/**
 * Token ids of one sentence: start-of-text, byte-pair codes, end-of-text. Not cut to any length.
 *
 * Equal to open_clip's tokenizer but for what {@link clean} lists, and for `<start_of_text>` and
 * `<end_of_text>` inside a sentence: here they are ordinary characters, so that a class name cannot
 * end its own prompt.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG; ERR_ACD_PROMPT_TOO_LONG (see clean);
 *   ERR_ACD_FILE_NOT_FOUND the vocabulary has not been built
 */
export function encode(text: string): number[] {
  const { ids } = encoder().encode(clean(text), { add_special_tokens: false });
  return [START_OF_TEXT, ...ids, END_OF_TEXT];
}

/**
 * Token ids of a batch, cut at the batch's last end-of-text token.
 *
 * @throws AcdClipError ERR_ACD_PROMPT_TOO_LONG a prompt has more than `contextLength` tokens;
 *   ERR_ACD_CHECKPOINT_MISMATCH an id does not exist in a vocabulary of `vocabSize`;
 *   and as {@link encode}
 */
export function tokenize(prompts: readonly string[], o: TokenizeOptions = {}): TokenBatch {
  if (!Array.isArray(prompts) || prompts.length === 0) {
    throw invalid('prompts', 'non-empty array of strings', prompts);
  }
  checkOptions('tokenize', o, ['contextLength', 'vocabSize']);
  const limit = checkInteger('contextLength', o.contextLength ?? CONTEXT_LENGTH, 2, 65536);
  const vocabSize = checkInteger('vocabSize', o.vocabSize ?? VOCABULARY_SIZE, 1, 2 ** 31 - 1);
  const rows = prompts.map((prompt, i) => {
    const ids = encodeAt(prompt, i);
    checkLength(ids, prompt, i, limit);
    checkVocabulary(ids, prompt, i, vocabSize);
    return ids;
  });
  const length = Math.max(...rows.map((ids) => ids.length));
  const tokens = new Int32Array(rows.length * length);
  rows.forEach((ids, i) => {
    tokens.set(ids, i * length);
  });
  return { tokens, prompts: rows.length, length };
}

function encodeAt(prompt: unknown, index: number): number[] {
  if (typeof prompt !== 'string') throw invalid(`prompts[${index}]`, 'string', prompt);
  return encode(prompt);
}

function checkLength(ids: number[], prompt: string, index: number, limit: number): void {
  if (ids.length <= limit) return;
  throw new AcdClipError(
    'ERR_ACD_PROMPT_TOO_LONG',
    `Expected at most ${limit} tokens for prompts[${index}] but ${show(prompt)} has ${ids.length}`,
    { help: 'Shorten the prompt or the noun. The start and end tokens count as well.' },
  );
}

function checkVocabulary(ids: number[], prompt: string, index: number, vocabSize: number): void {
  const id = ids.find((i) => i >= vocabSize);
  if (id === undefined) return;
  throw new AcdClipError(
    'ERR_ACD_CHECKPOINT_MISMATCH',
    `Expected a vocabulary of ${VOCABULARY_SIZE} tokens in the checkpoint but it has ${vocabSize}, ` +
      `and token ${id} of prompts[${index}], ${show(prompt)}, is not among them`,
    { help: 'Use a backbone with the vocabulary of OpenAI CLIP.' },
  );
}

// The part of @huggingface/tokenizers that is used. Its declarations are those of an ES module, so
// TypeScript does not let a CommonJS file import its CommonJS build by name.
interface Encoder {
  encode(text: string, o: { add_special_tokens: boolean }): { ids: number[] };
}

let cached: Encoder | undefined;

function encoder(): Encoder {
  if (cached === undefined) {
    const { Tokenizer } = require('@huggingface/tokenizers') as {
      Tokenizer: new (tokenizer: object, config: object) => Encoder;
    };
    cached = new Tokenizer(describe(readMerges()), {});
  }
  return cached;
}

/** A tokenizer.json of CLIP's byte-pair encoding. */
function describe(merges: readonly string[]): object {
  const bytes = byteAlphabet();
  const tokens = [
    ...bytes,
    ...bytes.map((b) => `${b}</w>`),
    ...merges.map((m) => m.replace(' ', '')),
  ];
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: WORD }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
      end_of_word_suffix: '</w>',
    },
  };
}

// CLIP's pattern ignores case, and the long s is the one lower-case letter that folds to another.
const WORD = "'[sſ]|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^\\s\\p{L}\\p{N}]+";

/** The printable stand-ins for the 256 bytes, in the order in which the vocabulary lists them. */
function byteAlphabet(): string[] {
  const isPrintable = (b: number) =>
    (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  const all = Array.from({ length: 256 }, (_, b) => b);
  const printable = all.filter(isPrintable);
  const others = all.filter((b) => !isPrintable(b)).map((_, i) => 256 + i);
  return [...printable, ...others].map((code) => String.fromCharCode(code));
}
