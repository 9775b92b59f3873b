// Writes the token ids of every training sentence: node scripts/starter/prompts.mjs OUT.json NOUNS
//
// NOUNS: JSON of {class: noun}. OUT.json: {"classes": {class: [S of each noun]}, "placeholder": S},
// S = {"published": [normal, abnormal], "more": [normal, abnormal]}, each a list of sentences; a
// sentence is its ids from start to end of text, without padding.
import { writeFileSync } from 'node:fs';
import { promptsFor, tokenize } from '../../dist/index.js';
import { MORE_ABNORMAL, MORE_NORMAL, PLACEHOLDER_NOUN, SYNONYMS } from './nouns.mjs';

const ids = (sentence) => Array.from(tokenize([sentence]).tokens);

/** [normal, abnormal] sentences: the published ones, then those beside them. */
function sentences(noun) {
  const published = promptsFor(noun);
  const more = promptsFor(noun, { normalStates: MORE_NORMAL, abnormalStates: MORE_ABNORMAL });
  return {
    published: [published.normal.map(ids), published.abnormal.map(ids)],
    more: [more.normal.map(ids), more.abnormal.map(ids)],
  };
}

const [out, nouns] = process.argv.slice(2);
const classes = {};
for (const [name, noun] of Object.entries(JSON.parse(nouns))) {
  classes[name] = [noun, ...(SYNONYMS[name] ?? [])].map(sentences);
}
const placeholder = { token: ids(PLACEHOLDER_NOUN)[1], ...sentences(PLACEHOLDER_NOUN) };
writeFileSync(out, `${JSON.stringify({ classes, placeholder })}\n`);
