// The door for checkpoints: a path in, a checked table of contents out.
import { checkOptions, checkSignal, checkString } from '../validate';
import type { Checkpoint } from './checkpoint';
import { readSafetensors } from './safetensors';
import { readShardIndex } from './shard-index';
import { SNIFF_BYTES, sniff } from './sniff';
import { SourceFile } from './source-file';
import { readTorchArchive } from './torch-archive';

export interface ReadCheckpointOptions {
  signal?: AbortSignal;
}

/**
 * Reads the table of contents of a checkpoint: OpenAI's TorchScript archives, torch.save archives,
 * safetensors files and their shard indexes (*.safetensors.index.json). The file's first bytes
 * decide which parser reads it; its name does not matter, and no parser is tried after another.
 *
 * Only headers are read, at most 16 MiB of them; weights stay on disk. A "module." that every name
 * starts with (DataParallel) is dropped.
 *
 * @throws AcdClipError ERR_ACD_FILE_NOT_FOUND, ERR_ACD_FILE_READ, ERR_ACD_CHECKPOINT_FORMAT (another
 *   kind of file), ERR_ACD_CHECKPOINT_CORRUPT, ERR_ACD_CHECKPOINT_REFUSED (more than data, or above
 *   a limit); the signal's reason when aborted.
 */
export async function readCheckpoint(
  path: string,
  options: ReadCheckpointOptions = {},
): Promise<Checkpoint> {
  checkString('path', path);
  checkOptions('readCheckpoint', options, ['signal']);
  const signal = options.signal && checkSignal('signal', options.signal);
  signal?.throwIfAborted();
  const file = await SourceFile.open(path);
  try {
    const checkpoint = await parse(file, signal);
    stripUniformPrefix(checkpoint, 'module.');
    return checkpoint;
  } finally {
    await file.close();
  }
}

async function parse(file: SourceFile, signal: AbortSignal | undefined): Promise<Checkpoint> {
  const head = await file.read(0, Math.min(SNIFF_BYTES, file.bytes));
  const container = sniff(file.path, head);
  if (container === 'json') return readShardIndex(file, signal);
  const common = { path: file.path, files: [file.info] };
  if (container === 'zip') return { ...common, ...(await readTorchArchive(file, signal)) };
  return { ...common, format: 'safetensors', ...(await readSafetensors(file, 0)) };
}

function stripUniformPrefix(checkpoint: Checkpoint, prefix: string): void {
  const entries = [...checkpoint.tensors.values()];
  if (!entries.every((t) => t.name.startsWith(prefix) && t.name.length > prefix.length)) return;
  checkpoint.tensors.clear();
  for (const tensor of entries) {
    tensor.name = tensor.name.slice(prefix.length);
    checkpoint.tensors.set(tensor.name, tensor);
  }
}
