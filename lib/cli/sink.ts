// Where results go: stdout, or a file.
import { type FileHandle, open } from 'node:fs/promises';
import * as path from 'node:path';
import { AcdClipError } from '../errors';
import { type Io, write } from './io';
import { makeFolder } from './picture-files';

export interface Sink {
  readonly isStdout: boolean;
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

/** A file grows row by row, so that what was found is there even if the run is cut short. */
export async function openSink(
  file: string | undefined,
  overwrite: boolean,
  io: Io,
): Promise<Sink> {
  if (file === undefined) {
    return {
      isStdout: true,
      write: (text) => write(io.stdout, text),
      close: async () => {},
    };
  }
  await makeFolder(path.dirname(file));
  const handle = await openNew(file, overwrite);
  return {
    isStdout: false,
    write: (text) => handle.appendFile(text),
    close: () => handle.close(),
  };
}

async function openNew(file: string, overwrite: boolean): Promise<FileHandle> {
  try {
    return await open(file, overwrite ? 'w' : 'wx');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      throw new AcdClipError(
        'ERR_ACD_INVALID_ARG',
        `Expected a file name that is free for --out but ${file} exists`,
        { cause, help: 'Choose another name, or pass --overwrite.' },
      );
    }
    throw new AcdClipError('ERR_ACD_FILE_READ', `Cannot write ${file}: ${code}`, { cause });
  }
}
