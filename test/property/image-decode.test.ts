import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { AcdClipError } from '../../lib/errors';
import { decodeImage } from '../../lib/image';

const folder = join(__dirname, '../fixtures/images');
const pictures = readdirSync(folder)
  .filter((name) => !name.endsWith('.json'))
  .map((name) => readFileSync(join(folder, name)));

const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
});

test('a damaged picture gives pixels of the declared size or a named error, never anything else', async () => {
  const limits = { pixels: 1_000_000 };
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...pictures),
      fc.array(edit, { minLength: 1, maxLength: 8 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (original, edits, keep) => {
        const bytes = new Uint8Array(original);
        for (const { at, bytes: patch } of edits) {
          bytes.set(patch, Math.floor(at * Math.max(0, bytes.length - patch.length)));
        }
        const cut =
          keep < 0.8 ? bytes : bytes.subarray(0, Math.floor((keep - 0.8) * 5 * bytes.length));
        try {
          const { data, width, height } = await decodeImage(cut, { limits });
          expect(data.length).toBe(width * height * 3);
        } catch (error) {
          expect(error).toBeInstanceOf(AcdClipError);
          expect((error as AcdClipError).code).toMatch(/^ERR_ACD_IMAGE_(FORMAT|LIMIT)$/);
        }
      },
    ),
    { numRuns: 1500, seed: 20261123 },
  );
});

test('arbitrary values are refused with a named error', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.anything({ withTypedArray: true, withSparseArray: true }),
      async (value) => {
        await expect(decodeImage(value as never)).rejects.toBeInstanceOf(AcdClipError);
      },
    ),
    { numRuns: 2000, seed: 20261123 },
  );
});

test('raw pixels are accepted exactly when their length is width * height * channels', async () => {
  const side = fc.integer({ min: 1, max: 9 });
  await fc.assert(
    fc.asyncProperty(
      side,
      side,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: -3, max: 3 }),
      async (width, height, channels, extra) => {
        const data = new Uint8Array(Math.max(0, width * height * channels + extra)).fill(9);
        const result = decodeImage({ data, width, height, channels: channels as 1 });
        if (extra === 0)
          expect((await result).data).toEqual(new Uint8Array(width * height * 3).fill(9));
        else await expect(result).rejects.toMatchObject({ code: 'ERR_ACD_INVALID_ARG' });
      },
    ),
    { seed: 20261123 },
  );
});
