// The door of the starter model: nothing but the published bytes goes through.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { starterModel } from '../../../lib';
import { verifiedStarter } from '../../../lib/model/starter';
import { errorOf } from '../../helpers/models';

const parent = mkdtempSync(path.join(tmpdir(), 'acd-starter-'));
afterAll(() => rmSync(parent, { recursive: true }));

const BYTES = Buffer.alloc(3_000_000, 'weights');
const SHA256 = createHash('sha256').update(BYTES).digest('hex');
let folders = 0;

/** A folder with these two files; undefined: without that one. */
function assets(model: Buffer | undefined, checksum: string | undefined): string {
  const folder = path.join(parent, String(folders++));
  mkdirSync(folder);
  if (model !== undefined) writeFileSync(path.join(folder, 'starter.safetensors'), model);
  if (checksum !== undefined) writeFileSync(path.join(folder, 'starter.sha256'), checksum);
  return folder;
}

test('the starter model lies in the assets of the package', () => {
  const assetsFolder = path.join(__dirname, '..', '..', '..', 'assets');
  expect(starterModel).toEqual({ path: path.join(assetsFolder, 'starter.safetensors') });
});

test.each([
  ['text', `${SHA256}  starter.safetensors\n`],
  ['binary', `${SHA256} *starter.safetensors\n`],
  ['no line feed', `${SHA256}  starter.safetensors`],
])('the published bytes pass, whichever way sha256sum wrote their line (%s)', async (_, line) => {
  const folder = assets(BYTES, line);
  expect(await verifiedStarter(folder)).toBe(path.join(folder, 'starter.safetensors'));
});

test('one changed bit, a missing byte or an empty file do not pass', async () => {
  const flipped = Buffer.from(BYTES);
  flipped[flipped.length - 1]! ^= 1;
  for (const model of [flipped, BYTES.subarray(1), Buffer.alloc(0)]) {
    const folder = assets(model, `${SHA256}  starter.safetensors\n`);
    const error = await errorOf(verifiedStarter(folder));
    expect(error.code).toBe('ERR_ACD_CHECKPOINT_CORRUPT');
    expect(error.message).toContain(`Expected sha256 ${SHA256} for the starter model ${folder}`);
    expect(error.help).toMatch(
      /^Pass backbone and adapter, or bundle; or reinstall .*git checkout -- /,
    );
  }
});

test('without the model or its checksum there is no model, and both ways out are said', async () => {
  for (const folder of [
    assets(undefined, `${SHA256}  starter.safetensors\n`),
    assets(BYTES, undefined),
    path.join(parent, 'nowhere'),
  ]) {
    const error = await errorOf(verifiedStarter(folder));
    expect(error.code).toBe('ERR_ACD_NO_MODEL');
    expect(error.message).toMatch(/^The starter model, .* is missing: .*starter\.\w+$/);
    expect(error.help).toMatch(/^Pass backbone and adapter, or bundle; or reinstall/);
  }
});

test.each([
  '',
  'nonsense',
  `${SHA256.slice(1)}  starter.safetensors\n`,
  `${SHA256}  other.safetensors\n`,
  `${SHA256}  starter.safetensors\n${SHA256}  starter.safetensors\n`,
])('a checksum file that says %j is no checksum', async (line) => {
  const error = await errorOf(verifiedStarter(assets(BYTES, line)));
  expect(error.code).toBe('ERR_ACD_FILE_READ');
  expect(error.message).toMatch(/a line of sha256sum for starter\.safetensors/);
});

test('a folder in its place is said to be unreadable', async () => {
  const folder = assets(undefined, `${SHA256}  starter.safetensors\n`);
  mkdirSync(path.join(folder, 'starter.safetensors'));
  expect((await errorOf(verifiedStarter(folder))).code).toBe('ERR_ACD_FILE_READ');
});
