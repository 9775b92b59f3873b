// Goldens of the reference model: its outputs, and model files rebuilt from synth-v1.
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { writeSafetensors } from '../../lib/checkpoint';
import { adapterShapes, clipShapes, type ReferenceConfig } from './reference-shapes';
import * as synth from './synth';

export interface GoldenMeta {
  seed: number;
  config: ReferenceConfig;
  batch: number;
}

export interface GoldenTensor {
  shape: number[];
  data: Float32Array | Int32Array;
}

const FOLDER = path.join(__dirname, '..', 'fixtures', 'goldens');

export function goldenMeta(name: string, folder = FOLDER): GoldenMeta {
  return JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8')) as GoldenMeta;
}

/** Every tensor of a small safetensors file of f32 and i32. */
export function goldenTensors(name: string, folder = FOLDER): Map<string, GoldenTensor> {
  const file = readFileSync(path.join(folder, `${name}.safetensors`));
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [key, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (key === '__metadata__') continue;
    const [begin, end] = data_offsets.map((o) => 8 + headerBytes + o) as [number, number];
    const bytes = new Uint8Array(file.subarray(begin, end)).buffer;
    tensors.set(key, {
      shape,
      data: dtype === 'I32' ? new Int32Array(bytes) : new Float32Array(bytes),
    });
  }
  return tensors;
}

/** Writes backbone and adapter of a configuration as two safetensors files. */
export async function writeGoldenModel(
  meta: GoldenMeta,
): Promise<{ backbone: string; adapter: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'acd-golden-'));
  const write = async (name: string, shapes: Map<string, number[]>) => {
    // One tensor at a time exists in memory: a generator, not an array.
    function* tensors() {
      for (const [tensor, shape] of shapes) {
        const values = synth.tensor(tensor, shape, meta.seed);
        yield { name: tensor, dtype: 'f32' as const, shape, data: new Uint8Array(values.buffer) };
      }
    }
    const file = path.join(folder, name);
    await writeSafetensors(file, tensors());
    return file;
  };
  return {
    backbone: await write('backbone.safetensors', clipShapes(meta.config)),
    adapter: await write('adapter.safetensors', adapterShapes(meta.config)),
  };
}

/** Largest absolute difference over the largest absolute reference value; NaN if anything is NaN. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`Expected ${expected.length} values but received ${actual.length}`);
  }
  let worst = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return worst / scale;
}
