// Just enough of safetensors for files that the scripts beside it write themselves.
import { closeSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

const READ = { F32: Float32Array, F64: Float64Array, I32: Int32Array, U8: Uint8Array };

/** @returns {Map<string, {shape: number[], data: Float32Array | Float64Array | Int32Array | Uint8Array}>} */
export function readSafetensors(path) {
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, start));
  delete header.__metadata__;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        // A copy, because the file does not align its tensors.
        const copy = Uint8Array.prototype.slice.call(bytes, start + from, start + to);
        return [name, { shape, data: new READ[dtype](copy.buffer) }];
      },
    ),
  );
}

/**
 * Writes float32 tensors one after the other; `fill(name, shape)` makes each when its turn comes, so
 * that one is in memory at a time.
 *
 * @param {string} path
 * @param {Iterable<[string, number[]]>} shapes
 * @param {(name: string, shape: number[]) => Float32Array} fill
 * @param {Record<string, string>} metadata
 */
export function writeSafetensors(path, shapes, fill, metadata) {
  const list = [...shapes];
  const header = { __metadata__: metadata };
  let offset = 0;
  for (const [name, shape] of list) {
    const end = offset + 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] };
    offset = end;
  }
  let json = JSON.stringify(header);
  json += ' '.repeat(-Buffer.byteLength(json) & 7);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
  // Under another name until it is whole: an interrupted run must leave nothing to be reused.
  const unfinished = `${path}.${process.pid}.part`;
  const file = openSync(unfinished, 'w');
  try {
    writeAll(file, length);
    writeAll(file, Buffer.from(json));
    for (const [name, shape] of list) {
      const { buffer, byteOffset, byteLength } = fill(name, shape);
      writeAll(file, new Uint8Array(buffer, byteOffset, byteLength));
    }
  } finally {
    closeSync(file);
  }
  renameSync(unfinished, path);
}

function writeAll(file, bytes) {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}
