// The sentences of this folder's errors start here, so that each names the file and, where there is
// one, the byte.
import { AcdClipError } from '../errors';

/** Bytes that contradict themselves or end too early. `at` is a byte offset in `file`. */
export function corrupt(file: string, message: string, at?: number): AcdClipError {
  return new AcdClipError('ERR_ACD_CHECKPOINT_CORRUPT', `${message}${where(file, at)}`, {
    help: 'The file is damaged or was cut off while it was copied: fetch it again and compare its checksum with the source.',
  });
}

/** A file that asks for more than data, or for more than the limits allow. */
export function refused(file: string, message: string, at?: number): AcdClipError {
  return new AcdClipError('ERR_ACD_CHECKPOINT_REFUSED', `${message}${where(file, at)}`, {
    help: 'Only plain tensors, numbers, strings and dictionaries are read. In Python, save the state dict alone: torch.save(model.state_dict(), path), or use safetensors.',
  });
}

/** Not a checkpoint, or one of a kind that is not read. */
export function unsupportedFormat(file: string, message: string, help?: string): AcdClipError {
  return new AcdClipError(
    'ERR_ACD_CHECKPOINT_FORMAT',
    `${message}${where(file)}`,
    help === undefined ? {} : { help },
  );
}

/** Tensors that do not make up the model that was asked for. */
export function mismatch(message: string, help?: string): AcdClipError {
  return new AcdClipError(
    'ERR_ACD_CHECKPOINT_MISMATCH',
    message,
    help === undefined ? {} : { help },
  );
}

function where(file: string, at?: number): string {
  return at === undefined ? ` in ${file}` : ` at byte ${at} of ${file}`;
}
