import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { decodeImage, type ImageInput } from '../../../lib/image';

const fixtures = join(__dirname, '../../fixtures/images');
const fixture = (name: string) => readFileSync(join(fixtures, name));
const pillow = JSON.parse(readFileSync(join(fixtures, 'pillow.json'), 'utf8'));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'acd-image-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A PNG of which only the header is true. */
function pngHeader(width: number, height: number): Buffer {
  const header = Buffer.from('0000000d49484452000000000000000008020000000000000000', 'hex');
  header.writeUInt32BE(width, 8);
  header.writeUInt32BE(height, 12);
  header.writeUInt32BE(crc32(header.subarray(4, 21)), 21);
  const pixels = deflateSync(Buffer.alloc(64));
  const data = Buffer.concat([Buffer.alloc(4), Buffer.from('IDAT'), pixels, Buffer.alloc(4)]);
  data.writeUInt32BE(pixels.length, 0);
  data.writeUInt32BE(crc32(data.subarray(4, -4)), data.length - 4);
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), header.subarray(0, 25), data]);
}

const failure = (input: unknown, options = {}) =>
  decodeImage(input as ImageInput, options).then(
    () => {
      throw new Error('was accepted');
    },
    (error) => error,
  );

describe('pixels', () => {
  test.each(Object.keys(pillow.files))('%s decodes to the bytes of Pillow', async (name) => {
    const { data, width, height, channels } = await decodeImage(fixture(name));
    expect({ width, height, sha256: sha256(data) }).toEqual(pillow.files[name]);
    expect(channels).toBe(3);
  });

  test('orientation is applied only when asked for', async () => {
    const { data, width, height } = await decodeImage(fixture('exif-rotated.jpg'), {
      autoOrient: true,
    });
    expect({ width, height, sha256: sha256(data) }).toEqual(pillow['exif-rotated.jpg, oriented']);
  });

  test('16-bit grey keeps the high byte', async () => {
    const values = Uint16Array.from({ length: 35 }, (_, i) => i * 1871);
    const png = await sharp(values, { raw: { width: 7, height: 5, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).depth).toBe('ushort');
    const { data } = await decodeImage(png);
    expect([...data]).toEqual([...values].flatMap((v) => [v >> 8, v >> 8, v >> 8]));
  });

  test('a transparent pixel of a GIF is black', async () => {
    const pixels = Buffer.from([255, 0, 0, 255, 0, 255, 0, 0]);
    const gif = await sharp(pixels, { raw: { width: 2, height: 1, channels: 4 } })
      .gif()
      .toBuffer();
    expect([...(await decodeImage(gif)).data]).toEqual([255, 0, 0, 0, 0, 0]);
  });

  test('AVIF is decoded', async () => {
    const avif = await sharp(fixture('rgb.png')).avif({ quality: 90 }).toBuffer();
    expect(await decodeImage(avif)).toMatchObject({ width: 29, height: 23, format: 'avif' });
  });

  test('floating-point samples are refused, not stretched', async () => {
    const tiff = fixture('float-samples.tif');
    expect(await failure(tiff)).toMatchObject({
      code: 'ERR_ACD_IMAGE_FORMAT',
      message: expect.stringContaining('float samples'),
    });
  });
});

describe('forms of input', () => {
  const expected = pillow.files['rgb.png'].sha256;
  const bytes = fixture('rgb.png');
  const padded = Buffer.concat([Buffer.alloc(5), bytes, Buffer.alloc(3)]);
  const exact = () => new Uint8Array(bytes).buffer;
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  const forms: [string, () => ImageInput][] = [
    ['a path', () => join(fixtures, 'rgb.png')],
    ['a file URL', () => pathToFileURL(join(fixtures, 'rgb.png'))],
    ['a Buffer', () => bytes],
    ['a view into a larger buffer', () => padded.subarray(5, -3)],
    ['a Uint8ClampedArray', () => new Uint8ClampedArray(exact())],
    ['an ArrayBuffer', exact],
    ['a SharedArrayBuffer', () => shared],
    ['a Uint8Array of another realm', () => runInNewContext('Uint8Array.from(b)', { b: bytes })],
    [
      'an ArrayBuffer of another realm',
      () => runInNewContext('Uint8Array.from(b).buffer', { b: bytes }),
    ],
    ['a Readable', () => Readable.from([bytes.subarray(0, 10), bytes.subarray(10)])],
    ['a web ReadableStream', () => new Blob([exact()]).stream() as ReadableStream<Uint8Array>],
    ['a sharp instance', () => sharp(bytes)],
  ];

  test.each(forms)('%s gives the same pixels', async (_, make) => {
    const { data, format } = await decodeImage(make());
    expect(sha256(data)).toBe(expected);
    expect(format).toBe('png');
  });

  test('a result is a raw picture and can be passed again', async () => {
    const first = await decodeImage(bytes);
    const second = await decodeImage(first);
    expect(second.data).toEqual(first.data);
    expect(second.data.buffer).not.toBe(first.data.buffer);
  });

  test('raw pixels of 1 to 4 channels: grey is replicated, alpha is dropped', async () => {
    const raw = (channels: 1 | 2 | 3 | 4, ...data: number[]) =>
      decodeImage({ data: Uint8Array.from(data), width: 2, height: 1, channels });
    expect([...(await raw(1, 7, 9)).data]).toEqual([7, 7, 7, 9, 9, 9]);
    expect([...(await raw(2, 7, 0, 9, 255)).data]).toEqual([7, 7, 7, 9, 9, 9]);
    expect([...(await raw(3, 1, 2, 3, 4, 5, 6)).data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...(await raw(4, 1, 2, 3, 0, 4, 5, 6, 9)).data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('bytes and pixels may be overwritten as soon as the call has returned', async () => {
    const encoded = new Uint8Array(bytes);
    const decoding = decodeImage(encoded);
    encoded.fill(0);
    expect(sha256((await decoding).data)).toBe(expected);
    const data = Uint8Array.of(1, 2, 3);
    const copying = decodeImage({ data, width: 1, height: 1, channels: 3 });
    data.fill(0);
    expect([...(await copying).data]).toEqual([1, 2, 3]);
  });

  test('the pipeline of a sharp instance is applied, and the instance stays usable', async () => {
    const image = sharp(bytes).resize(11, 7).greyscale();
    expect(await decodeImage(image)).toMatchObject({ width: 11, height: 7 });
    expect(await decodeImage(image)).toMatchObject({ width: 11, height: 7 });
  });
});

describe('refusals', () => {
  test.each<[string, unknown]>([
    ['a number', 7],
    ['null', null],
    ['undefined', undefined],
    ['an empty string', ''],
    ['a Uint16Array', new Uint16Array(8)],
    ['a DataView', new DataView(new ArrayBuffer(8))],
    ['a proxy of bytes', new Proxy(new Uint8Array(8), {})],
    ['an empty object', {}],
    ['a function', () => 0],
    ['a path with a NUL byte', 'a\0b.png'],
    ['a file URL with a foreign host', new URL('file://elsewhere/a.png')],
    ['an unknown kind of URL', new URL('ftp://host/a.png')],
    ['raw pixels without channels', { data: new Uint8Array(3), width: 1, height: 1 }],
    ['raw pixels of width 0', { data: new Uint8Array(0), width: 0, height: 1, channels: 3 }],
    [
      'raw pixels of width NaN',
      { data: new Uint8Array(3), width: Number.NaN, height: 1, channels: 3 },
    ],
    ['raw pixels that are floats', { data: new Float32Array(3), width: 1, height: 1, channels: 3 }],
    ['too few raw bytes', { data: new Uint8Array(11), width: 2, height: 2, channels: 3 }],
    ['too many raw bytes', { data: new Uint8Array(13), width: 2, height: 2, channels: 3 }],
    ['a stream of strings', Readable.from(['text'])],
  ])('%s is an invalid argument', async (_, input) => {
    const error = await failure(input, { name: 'images[3]' });
    expect(error.code).toBe('ERR_ACD_INVALID_ARG');
    expect(error.message).toContain('images[3]');
  });

  test('detached buffers are invalid arguments', async () => {
    for (const wrap of [
      (b: ArrayBuffer) => b,
      (b: ArrayBuffer) => new Uint8Array(b),
      (b: ArrayBuffer) => ({ data: new Uint8Array(b), width: 1, height: 1, channels: 3 }),
    ]) {
      const buffer = new ArrayBuffer(3);
      const input = wrap(buffer);
      structuredClone(buffer, { transfer: [buffer] });
      expect(await failure(input)).toMatchObject({ code: 'ERR_ACD_INVALID_ARG' });
    }
  });

  test('an unknown option names the nearest one', async () => {
    const error = await failure(fixture('rgb.png'), { autoorient: true });
    expect(error.code).toBe('ERR_ACD_UNKNOWN_OPTION');
    expect(error.message).toContain('"autoOrient"');
  });

  test.each(['http://host/a.png', new URL('https://host/a.png')])(
    'the address %s is to be fetched by the caller',
    async (address) => {
      const error = await failure(address);
      expect(error.code).toBe('ERR_ACD_UNSUPPORTED');
      expect(error.message).toMatch(/fetch it first/);
    },
  );

  test('a missing file, a directory and a device each have their sentence', async () => {
    expect(await failure(join(folder, 'none.png'))).toMatchObject({
      code: 'ERR_ACD_FILE_NOT_FOUND',
      message: expect.stringMatching(/none\.png" does not exist/),
    });
    expect(await failure(folder)).toMatchObject({
      code: 'ERR_ACD_FILE_READ',
      message: expect.stringMatching(/is a directory/),
    });
    expect(await failure('/dev/null')).toMatchObject({
      code: 'ERR_ACD_FILE_READ',
      message: expect.stringMatching(/not a regular file/),
    });
  });

  test.each<[string, string | Buffer]>([
    ['SVG', '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['XML or HTML', '<!doctype html><html></html>'],
    ['PDF', '%PDF-1.7\n'],
    ['PostScript', '%!PS-Adobe-3.0 EPSF-3.0\n'],
    ['BMP', Buffer.from('BM6\0\0\0\0\0', 'latin1')],
    ['HEIC', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1')],
    ['JPEG XL', Buffer.from('\xff\x0a\0\0', 'latin1')],
    ['plain text', 'a photo of a hazelnut\n'],
    ['0 bytes', ''],
    ['bytes that start with 00ff00ff', Buffer.from('00ff00ff', 'hex')],
  ])('%s is refused by its first bytes and named', async (kind, content) => {
    const path = join(folder, 'picture.png');
    writeFileSync(path, content);
    for (const input of [path, Buffer.from(content)]) {
      const error = await failure(input);
      expect(error.code).toBe('ERR_ACD_IMAGE_FORMAT');
      expect(error.message).toContain(`received ${kind}`);
    }
  });

  test.each([
    'rgb.png',
    'rgb-444.jpg',
    'rgb-420-progressive.jpg',
    'rgb-lossy.webp',
    'rgb-lzw.tif',
    'palette.gif',
  ])('%s cut anywhere before its last pixels is an error', async (name) => {
    const whole = fixture(name);
    for (const part of [0.02, 0.2, 0.5, 0.8]) {
      const error = await failure(whole.subarray(0, Math.floor(whole.length * part)));
      expect(error.code).toBe('ERR_ACD_IMAGE_FORMAT');
    }
  });
});

describe('limits', () => {
  test('a small file that declares 60,000 x 60,000 pixels is refused at once, without memory', async () => {
    await decodeImage(fixture('rgb.png')); // loads the decoders
    const bomb = pngHeader(60_000, 60_000);
    const memory = process.memoryUsage().rss;
    const start = performance.now();
    const error = await failure(bomb);
    expect(performance.now() - start).toBeLessThan(100);
    expect(process.memoryUsage().rss - memory).toBeLessThan(16 * 1024 * 1024);
    expect(error.code).toBe('ERR_ACD_IMAGE_LIMIT');
    expect(error.message).toContain('60000 x 60000');
    expect(error.message).toContain('32767');
  });

  test('the number of pixels is limited where both sides are allowed', async () => {
    const error = await failure(pngHeader(20_000, 20_000));
    expect(error.code).toBe('ERR_ACD_IMAGE_LIMIT');
    expect(error.message).toContain('64000000');
  });

  test('limits hold for raw pixels and for sharp instances', async () => {
    const raw = { data: new Uint8Array(12), width: 2, height: 2, channels: 3 };
    expect(await failure(raw, { limits: { pixels: 3 } })).toMatchObject({
      code: 'ERR_ACD_IMAGE_LIMIT',
    });
    const grown = sharp(fixture('rgb.png')).resize(300, 300);
    expect(await failure(grown, { limits: { side: 200 } })).toMatchObject({
      code: 'ERR_ACD_IMAGE_LIMIT',
    });
    const large = sharp(fixture('rgb.png')).resize(5, 5);
    expect(await failure(large, { limits: { pixels: 100 } })).toMatchObject({
      code: 'ERR_ACD_IMAGE_LIMIT',
    });
  });

  test('encoded bytes are limited for files, buffers and streams', async () => {
    const limits = { encodedBytes: 1000 };
    for (const input of [
      join(fixtures, 'rgb.png'),
      fixture('rgb.png'),
      fixture('rgb.png').buffer,
    ]) {
      expect(await failure(input, { limits })).toMatchObject({ code: 'ERR_ACD_IMAGE_LIMIT' });
    }
  });

  test('an endless stream is stopped at the limit and closed', async () => {
    const stream = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(100);
      })(),
    );
    expect(await failure(stream, { limits: { encodedBytes: 1000 } })).toMatchObject({
      code: 'ERR_ACD_IMAGE_LIMIT',
    });
    expect(stream.destroyed).toBe(true);
  });

  test('limits may be raised and lowered but must make sense', async () => {
    expect(await failure(fixture('rgb.png'), { limits: { pixels: 0 } })).toMatchObject({
      code: 'ERR_ACD_INVALID_ARG',
    });
    expect(await failure(fixture('rgb.png'), { limits: { pixel: 5 } })).toMatchObject({
      code: 'ERR_ACD_UNKNOWN_OPTION',
    });
  });
});

describe('cancelling', () => {
  test('an aborted signal rejects with its own reason', async () => {
    const reason = new Error('enough');
    expect(await failure(fixture('rgb.png'), { signal: AbortSignal.abort(reason) })).toBe(reason);
  });

  test.each(['Readable', 'ReadableStream'])('a silent %s is given up on abort', async (kind) => {
    const controller = new AbortController();
    const stream = kind === 'Readable' ? new Readable({ read() {} }) : new ReadableStream();
    const result = failure(stream, { signal: controller.signal });
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 20);
    expect(await result).toBe(reason);
  });

  test('a stream that fails is reported with its cause', async () => {
    const cause = new Error('cable');
    const stream = new Readable({ read: () => stream.destroy(cause) });
    expect(await failure(stream)).toMatchObject({ code: 'ERR_ACD_FILE_READ', cause });
  });
});
