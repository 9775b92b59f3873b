// What detect and calibrate read: pictures, and arguments that turn out to be none.
import * as path from 'node:path';
import type { AcdClipError } from '../errors';

/** One picture to look at. */
export interface Picture {
  /** As the user would name it; relative to the working directory unless given as absolute. */
  path: string;
  /** Its name below the folder or glob that it came from; the file's own name otherwise. */
  below: string;
  className?: string;
  /** The sender's own name for it, handed back with the result. */
  id?: string | number;
}

/** An argument or line that is no picture. */
export interface BadInput {
  path: string;
  error: AcdClipError;
}

export type Input = Picture | BadInput;

export function pictureAt(file: string): Picture {
  return { path: file, below: path.basename(file) };
}
