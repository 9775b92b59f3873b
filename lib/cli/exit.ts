// Exit codes, and how a failure is told.
import { constants } from 'node:os';
import { CommanderError } from 'commander';
import { AcdClipError, type AcdClipErrorCode } from '../errors';
import { type Io, note } from './io';

export const EXIT = {
  ok: 0,
  /** Something failed: a file, a picture, the computation. */
  error: 1,
  /** The command line asks for what cannot be. */
  usage: 2,
  /** With --fail-on-anomaly: every picture was scored and at least one is anomalous. */
  anomalous: 3,
} as const;

/** A command line that cannot be carried out as it stands. */
export class UsageError extends Error {
  readonly help: string | undefined;

  constructor(message: string, help?: string) {
    super(message);
    this.name = 'UsageError';
    this.help = help;
  }
}

/** The reason of an abort by a signal of the operating system. */
export class Interrupted extends Error {
  readonly signalName: 'SIGINT' | 'SIGTERM';

  constructor(signalName: 'SIGINT' | 'SIGTERM') {
    super('Interrupted');
    this.name = 'Interrupted';
    this.signalName = signalName;
  }
}

const USAGE_CODES: readonly AcdClipErrorCode[] = [
  'ERR_ACD_NO_MODEL',
  'ERR_ACD_INVALID_ARG',
  'ERR_ACD_UNKNOWN_OPTION',
];

/** Tells the user about a failure, if there is anything to tell, and returns the exit code. */
export function reportFailure(io: Io, error: unknown): number {
  const { code } = (error ?? {}) as { code?: unknown };
  // The reader of a pipe (head, less) has seen enough: no failure.
  if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') return EXIT.ok;
  // commander has written its own sentence; help and version end here as well.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof Interrupted) {
    note(io, 'acd-clip: interrupted');
    return 128 + constants.signals[error.signalName];
  }
  printError(io, error);
  const isUsage =
    error instanceof UsageError ||
    (error instanceof AcdClipError && USAGE_CODES.includes(error.code));
  return isUsage ? EXIT.usage : EXIT.error;
}

function printError(io: Io, error: unknown): void {
  const { message, help, stack } = asError(error);
  note(io, `acd-clip: ${message}`);
  if (help !== undefined) note(io, help);
  if (io.env.ACD_CLIP_DEBUG === '1' && stack !== undefined) io.stderr.write(`${stack}\n`);
}

function asError(error: unknown): { message: string; help?: string; stack?: string } {
  return error instanceof Error ? error : { message: String(error) };
}
