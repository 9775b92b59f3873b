// The only door to the native addon.
import * as path from 'node:path';
import type { NativeBinding } from '../../typings/native';
import { AcdClipError, type AcdClipErrorCode, ERROR_CODES } from '../errors';

// lib/binding and dist/binding are equally deep.
const PACKAGE_ROOT = path.join(__dirname, '..', '..');

let binding: NativeBinding | undefined;

/**
 * The addon, loaded on first use: build/Release of a source build, else the prebuilt binary of this
 * platform.
 *
 * @throws AcdClipError ERR_ACD_NATIVE_MISSING
 */
export function native(): NativeBinding {
  binding ??= load();
  return binding;
}

function load(): NativeBinding {
  try {
    // node-gyp-build has no types; it finds and requires the .node file.
    const find = require('node-gyp-build') as (root: string) => NativeBinding;
    return find(PACKAGE_ROOT);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new AcdClipError(
      'ERR_ACD_NATIVE_MISSING',
      `The native addon cannot be loaded on ${process.platform}-${process.arch}: ${reason}`,
      {
        help: 'Run "npm run setup" in a checkout of the package; no prebuilt binaries exist yet.',
        cause,
      },
    );
  }
}

const HELP: Partial<Record<AcdClipErrorCode, string>> = {
  ERR_ACD_QUEUE_FULL:
    'Await earlier calls, use detectBatch or detectStream (they pace themselves), or raise queueLimit.',
  ERR_ACD_OUT_OF_MEMORY: 'The call may be repeated when memory is free again.',
  ERR_ACD_INTERNAL:
    'This is a defect of acd-clip-native; please report it with the output of "acd-clip inspect".',
};

/** What the addon throws (an Error with a code) as the package's own error. */
export function fromNative(error: unknown): unknown {
  if (error instanceof AcdClipError) return error;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof message !== 'string' || !(ERROR_CODES as readonly unknown[]).includes(code))
    return error;
  const help = HELP[code as AcdClipErrorCode];
  return new AcdClipError(code as AcdClipErrorCode, message, {
    cause: error,
    ...(help ? { help } : {}),
  });
}

/** Runs a native call and translates what it throws. */
export function callNative<T>(call: (addon: NativeBinding) => T): T {
  const addon = native();
  try {
    return call(addon);
  } catch (error) {
    throw fromNative(error);
  }
}
