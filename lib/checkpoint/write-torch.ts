// Writing torch's zip format: records stored, little-endian, one storage a tensor.
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { type WriteOptions, writeAtomically } from './atomic-file';
import { type PickledValue, type TorchDict, writePickle } from './pickle-writer';
import { byteLength, tensorBytes } from './tensor-bytes';

// Fixed times make equal inputs give equal files.
const ENTRY = {
  compress: false,
  mtime: new Date(1980, 0, 1),
  forceDosTimestamp: true,
  mode: 0o644,
};

/**
 * Writes a dictionary as torch.save would, readable by torch.load(path, weights_only=True);
 * atomically, and with at most 16 MiB of a tensor that is copied from a file in memory at a time.
 * Returns the file's size in bytes.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG (an existing file without `overwrite`),
 *   ERR_ACD_UNSUPPORTED (a dtype that torch.save has no name for), ERR_ACD_FILE_READ
 */
export async function writeTorch(
  path: string,
  value: TorchDict,
  options: WriteOptions = {},
): Promise<number> {
  const archive = writePickle(value);
  for (const tensor of archive.tensors) byteLength(tensor);
  return writeAtomically(path, options, (append) => writeArchive(archive, append));
}

async function writeArchive(
  { pickle, tensors }: PickledValue,
  append: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const zip = new ZipFile();
  const output = zip.outputStream as Readable;
  let source: Readable | undefined;
  // yazl neither passes a failing source on to its output nor closes one that is not needed any more.
  const fail = (error: Error) => output.destroy(error);
  zip.on('error', fail);
  zip.addBuffer(pickle, 'archive/data.pkl', ENTRY);
  zip.addBuffer(Buffer.from('little'), 'archive/byteorder', ENTRY);
  for (const [i, tensor] of tensors.entries()) {
    const entry = { ...ENTRY, size: byteLength(tensor) };
    zip.addReadStreamLazy(`archive/data/${i}`, entry, (give) => {
      source = Readable.from(tensorBytes(tensor), { objectMode: false }).on('error', fail);
      give(null, source);
    });
  }
  zip.addBuffer(Buffer.from('3\n'), 'archive/version', ENTRY);
  zip.end();
  try {
    for await (const chunk of output) await append(chunk as Buffer);
  } finally {
    if (source !== undefined) await finished(source.destroy()).catch(() => undefined);
  }
}
