// The one error class of the package and its closed list of codes.

/** Every code that an {@link AcdClipError} can carry. The list only grows. */
export const ERROR_CODES = [
  'ERR_ACD_INVALID_ARG', // a value of the wrong type or outside its range
  'ERR_ACD_UNKNOWN_OPTION', // an option key that does not exist
  'ERR_ACD_FILE_NOT_FOUND', // a path that cannot be opened
  'ERR_ACD_FILE_READ', // the file system failed while reading or writing
  'ERR_ACD_CHECKPOINT_FORMAT', // not a checkpoint, or a format that is not supported
  'ERR_ACD_CHECKPOINT_CORRUPT', // truncated or contradictory bytes
  'ERR_ACD_CHECKPOINT_REFUSED', // a pickle that asks for more than data
  'ERR_ACD_CHECKPOINT_MISMATCH', // tensors missing, of the wrong shape, or of another model
  'ERR_ACD_CHECKPOINT_NON_FINITE', // NaN or Inf among the weights
  'ERR_ACD_NO_MODEL', // no backbone with adapter and no bundle given, and no starter model there
  'ERR_ACD_IMAGE_FORMAT', // not a picture, truncated, or undecodable
  'ERR_ACD_IMAGE_LIMIT', // too many pixels or bytes
  'ERR_ACD_PROMPT_TOO_LONG', // more tokens than the text tower's context
  'ERR_ACD_DEVICE_UNAVAILABLE', // the asked-for device cannot be used; the reason is in the message
  'ERR_ACD_UNSUPPORTED', // a valid wish that this build or model cannot fulfil
  'ERR_ACD_QUEUE_FULL', // the bounded queue of the model is full; retry later
  'ERR_ACD_ABORTED', // cancelled without an AbortSignal reason (dispose, environment shutdown)
  'ERR_ACD_DISPOSED', // used after dispose()
  'ERR_ACD_OUT_OF_MEMORY', // an allocation failed; retryable
  'ERR_ACD_NON_FINITE', // the computation produced NaN or Inf
  'ERR_ACD_NATIVE_MISSING', // the native addon is not built or cannot be loaded
  'ERR_ACD_INTERNAL', // a defect of this package
] as const;

export type AcdClipErrorCode = (typeof ERROR_CODES)[number];

/**
 * The only class of error that this package throws or rejects with (a cancelled call rejects with
 * its AbortSignal's own reason instead).
 *
 * `message` says what was expected, for which parameter, and what came; `help`, when present, says
 * what to do about it; `cause` is the underlying error.
 */
export class AcdClipError extends Error {
  readonly code: AcdClipErrorCode;
  readonly help?: string;

  constructor(code: AcdClipErrorCode, message: string, o: { help?: string; cause?: unknown } = {}) {
    super(message, o.cause === undefined ? undefined : { cause: o.cause });
    this.name = 'AcdClipError';
    this.code = code;
    if (o.help !== undefined) this.help = o.help;
  }
}
