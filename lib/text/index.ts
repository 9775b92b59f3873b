// The text room: from a class or a user's sentences to token ids.
export { clean, MAX_TEXT_LENGTH } from './clean';
export {
  classesOf,
  DATASET_NAMES,
  type Domain,
  domainOf,
  type NounOptions,
  type Nouns,
  nounFor,
  publishedNoun,
} from './nouns';
export { readNouns } from './profile';
export {
  ABNORMAL_STATES,
  checkPrompts,
  MAX_PROMPTS,
  NORMAL_STATES,
  type PromptOverrides,
  type Prompts,
  promptsFor,
  TEMPLATES,
} from './prompts';
export {
  CONTEXT_LENGTH,
  END_OF_TEXT,
  encode,
  START_OF_TEXT,
  type TokenBatch,
  type TokenizeOptions,
  tokenize,
  VOCABULARY_SIZE,
} from './tokenizer';
