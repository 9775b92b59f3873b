// Writing torch's zip format: records stored, little-endian, one storage a tensor.
import { Readable } from 'node:stream';
import { ZipFile } from 'yazl';
import { type WriteOptions, writeAtomically } from './atomic-file';
import { type TorchDict, writePickle } from './pickle-writer';
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
  const { pickle, tensors } = writePickle(value);
  const zip = new ZipFile();
  const output = zip.outputStream as Readable;
  // yazl reports a failing source on the archive, not on its output.
  zip.on('error', (error: Error) => output.destroy(error));
  zip.addBuffer(pickle, 'archive/data.pkl', ENTRY);
  zip.addBuffer(Buffer.from('little'), 'archive/byteorder', ENTRY);
  for (const [i, tensor] of tensors.entries()) {
    const entry = { ...ENTRY, size: byteLength(tensor) };
    zip.addReadStreamLazy(`archive/data/${i}`, entry, (give) => {
      give(null, Readable.from(tensorBytes(tensor), { objectMode: false }));
    });
  }
  zip.addBuffer(Buffer.from('3\n'), 'archive/version', ENTRY);
  return writeAtomically(path, options, async (append) => {
    zip.end();
    for await (const chunk of output) await append(chunk as Buffer);
  });
}
