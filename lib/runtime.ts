// What this build is and what it runs on.
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import type { NativeKernels } from '../typings/native';
import { callNative, fromNative } from './binding';
import type { Precision } from './model/types';

export interface Device {
  /** 'cpu', 'cuda:0' */
  id: string;
  available: boolean;
  name: string;
  /** Why it cannot be used, or what it is for. */
  reason: string;
  /** Whether all operations and whole models have been compared with their references on a device of its kind: 'auto' takes no other. */
  checked: boolean;
  /** Number formats that it computes in, or why not. */
  precisions: { name: Precision; available: boolean; reason: string }[];
}

export interface RuntimeInfo {
  /** Of this package. */
  version: string;
  node: string;
  platform: string;
  native: {
    version: string;
    compiler: string;
    /** Instruction-set level of our kernels, and the best that the processor has. */
    isa: string;
    isaDetected: string;
    /** Whether ACD_CLIP_ISA chose it. */
    isaForced: boolean;
    onednn: string;
    onednnIsa: string;
    cpu: string;
    /** Threads that affinity and cgroup allow. */
    cpus: number;
  };
  sharp: string;
  libvips: string;
}

/** The CUDA backend of this installation. */
export interface CudaInfo {
  /** Path of libacd_cuda.so; '' when this build has none. */
  plugin: string;
  /** Toolkit and architectures that it was built for. */
  built: string;
  /** At least one GPU can be used. */
  usable: boolean;
  /** Why none can be used, or how many can. */
  reason: string;
  /** The driver, cuBLASLt and cuDNN: found or missing, and why. */
  libraries: { name: string; usable: boolean; version: string; path: string; reason: string }[];
  /** Kernels that the GPUs in use have chosen by measuring, one line each: 'cuda:0: attention ...'. */
  choices: string[];
}

/**
 * The CUDA backend and each library it needs, found or missing. Opens them, which takes up to
 * seconds the first time. Throws ERR_ACD_NATIVE_MISSING.
 */
export function getCudaInfo(): CudaInfo {
  return callNative((addon) => addon.cudaInfo());
}

/** The devices of this machine, usable or not, each with a reason. Throws ERR_ACD_NATIVE_MISSING. */
export function listDevices(): Device[] {
  return callNative((addon) => addon.listDevices());
}

/** Versions, processor and instruction set. Throws ERR_ACD_NATIVE_MISSING, ERR_ACD_UNSUPPORTED. */
export function getRuntimeInfo(): RuntimeInfo {
  return {
    version: packageVersion(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    native: callNative((addon) => addon.runtimeInfo()),
    sharp: sharp.versions.sharp ?? 'unknown',
    libvips: sharp.versions.vips,
  };
}

/** Of this package, as package.json says. */
export function packageVersion(): string {
  const manifest = readFileSync(path.join(__dirname, '..', 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

type Kernels = {
  readonly [K in keyof NativeKernels]: NativeKernels[K];
};

/**
 * Native ops on typed arrays, for oracle tests and micro-benchmarks. Synchronous: a call blocks
 * the event loop until it is done. Each function's type tells its shapes; wrong ones throw
 * ERR_ACD_INVALID_ARG.
 */
export const kernels: Kernels = new Proxy({} as Kernels, {
  get(_, name) {
    if (typeof name !== 'string') return undefined;
    const op = callNative((addon) => addon.kernels)[name as keyof NativeKernels] as
      | ((...args: unknown[]) => unknown)
      | undefined;
    if (op === undefined) return undefined;
    return (...args: unknown[]) => {
      try {
        return op(...args);
      } catch (error) {
        throw fromNative(error);
      }
    };
  },
  ownKeys: () => Reflect.ownKeys(callNative((addon) => addon.kernels)),
  getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
});
