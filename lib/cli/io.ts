// What a command may touch of the process, so that tests can run it without one.
import type { Readable, Writable } from 'node:stream';

export type Output = Writable & { isTTY?: boolean };

export interface Io {
  /** Asked for only by commands that read pictures from it. */
  readonly stdin: Readable;
  stdout: Output;
  stderr: Output;
  env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the user interrupts; its reason is an {@link Interrupted}. */
  signal: AbortSignal;
}

/** Writes and waits until the reader has taken it; rejects with EPIPE when nobody reads any more. */
export function write(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** A line for people on stderr. A reader who has left must not stop the work. */
export function note(io: Io, line: string): void {
  io.stderr.write(`${printable(line)}\n`);
}

/** File names may hold line feeds and escape sequences, which must not reach a terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
}
