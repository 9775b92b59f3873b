// A tiny model for a suite, and pictures to give it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import sharp from 'sharp';
import { AcdClip } from '../../lib/acd-clip';
import { AcdClipError } from '../../lib/errors';
import type { RawImage } from '../../lib/image';
import type { LoadOptions, Precision } from '../../lib/model/types';
import { listDevices } from '../../lib/runtime';
import { type TinySizes, writeTinyModel } from './tiny-model';

/** Half as wide as TINY: a third of its file. */
export const NARROW: Partial<TinySizes> = {
  visionWidth: 64,
  visionHeads: 1,
  textWidth: 64,
  textHeads: 1,
  embedDim: 64,
};

export interface Suite {
  readonly folder: string;
  readonly file: string;
  readonly model: AcdClip;
  load(options?: LoadOptions): Promise<AcdClip>;
}

/** Writes a tiny model before the suite, loads it with `options`, and takes both away after it. */
export function tinySuite(options: LoadOptions = {}, sizes: Partial<TinySizes> = NARROW): Suite {
  const folder = mkdtempSync(path.join(tmpdir(), 'acd-suite-'));
  let file: string;
  let model: AcdClip | undefined;
  const extra: AcdClip[] = [];
  beforeAll(async () => {
    file = await writeTinyModel(folder, sizes);
    model = await AcdClip.load({ bundle: file, threads: 2, ...options });
  });
  afterAll(async () => {
    await Promise.all([model, ...extra].map((m) => m?.dispose()));
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    folder,
    get file() {
      return file;
    },
    get model() {
      return model!;
    },
    async load(o = {}) {
      const loaded = await AcdClip.load({ bundle: file, threads: 2, ...o });
      extra.push(loaded);
      return loaded;
    },
  };
}

/** What the CPU of this machine computes in, at the instruction set in use. */
export function usablePrecisions(): Precision[] {
  const cpu = listDevices().find((d) => d.id === 'cpu')!;
  return cpu.precisions.filter((p) => p.available).map((p) => p.name);
}

/** Raw pixels, different for every seed. */
export function picture(seed: number, width = 60, height = 40): RawImage & { data: Uint8Array } {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) {
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    data[i] = 128 + 100 * Math.sin((seed + 1) * (x * 0.11 + (i % 3)) + y * 0.07 * (seed + 2));
  }
  return { data, width, height, channels: 3 };
}

export function pngOf(raw: RawImage): Promise<Buffer> {
  const { data, ...size } = raw;
  return sharp(Buffer.from(data), { raw: size }).png().toBuffer();
}

/** The AcdClipError that a promise rejects with; any other outcome fails the test. */
export async function errorOf(work: Promise<unknown>): Promise<AcdClipError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AcdClipError) return error;
    throw error;
  }
  throw new Error('Expected an error but the call succeeded');
}
