// Runs command lines in this process, with streams that remember.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import sharp from 'sharp';
import type { Io } from '../../../lib/cli/io';
import { run } from '../../../lib/cli/run';

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface RunOptions {
  /** Text, or a stream that is still open. */
  stdin?: string | Readable;
  env?: Record<string, string>;
  signal?: AbortSignal;
  stdout?: Writable;
  /** Pretend that both outputs are terminals. */
  tty?: boolean;
}

export async function cli(argv: readonly string[], o: RunOptions = {}): Promise<Ran> {
  const [out, err] = [new Memory(o.tty), new Memory(o.tty)];
  const io: Io = {
    stdin: o.stdin instanceof Readable ? o.stdin : Readable.from([Buffer.from(o.stdin ?? '')]),
    stdout: o.stdout ?? out,
    stderr: err,
    env: o.env ?? {},
    signal: o.signal ?? new AbortController().signal,
  };
  const code = await run(argv, io);
  return { code, out: out.text, err: err.text };
}

class Memory extends Writable {
  text = '';
  readonly isTTY: boolean;

  constructor(isTTY = false) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** A pipe whose reader leaves after the first write, as head does. */
export class BrokenPipe extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    const isGone = this.text !== '';
    if (!isGone) this.text = chunk.toString();
    done(isGone ? Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }) : undefined);
  }
}

/** A sender that stays connected. */
export function openStdin(text = ''): PassThrough {
  const stream = new PassThrough();
  stream.write(text);
  return stream;
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'acd-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a small picture of stripes; equal seeds give equal pictures. */
export async function writePicture(file: string, seed = 1): Promise<string> {
  const [width, height] = [40, 30];
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = (i * 7 * seed + (i >> 5) * 31 * seed) & 255;
  await sharp(data, { raw: { width, height, channels: 3 } }).toFile(file);
  return file;
}
