// acd-clip inspect: the doctor, and what a checkpoint holds.
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import type { Command } from 'commander';
import sharp from 'sharp';
import { type CheckpointDescription, describeCheckpoint } from '../checkpoint';
import type { AcdClipError } from '../errors';
import { starterModel, verifiedStarter } from '../model/starter';
import {
  type CudaInfo,
  type Device,
  getCudaInfo,
  getRuntimeInfo,
  listDevices,
  packageVersion,
  type RuntimeInfo,
} from '../runtime';
import { EXIT } from './exit';
import { type Io, printable, write } from './io';

interface InspectFlags {
  json?: boolean;
  tensors?: boolean;
}

/** What the doctor found. */
interface Report {
  version: string;
  node: string;
  platform: string;
  sharp: string;
  libvips: string;
  /** Absent when the addon cannot be loaded; `problems` then says why. */
  native?: RuntimeInfo['native'];
  devices: Device[];
  /** Absent when the addon cannot be loaded. */
  cuda?: CudaInfo;
  assets: { name: string; path: string; present: boolean }[];
  problems: { message: string; help?: string }[];
}

export function addInspect(program: Command, io: Io, exit: (code: number) => void): void {
  program
    .command('inspect')
    .summary('examine this installation, or a checkpoint')
    .description(
      'Without FILE examines this installation: versions, processor, devices and why each can or cannot be used. With FILE says what a checkpoint holds. The exit code is 1 when there are problems.',
    )
    .argument('[file]', 'checkpoint: .pt, .pth, .bin, .safetensors or .safetensors.index.json')
    .option('--json', 'write JSON')
    .option('--tensors', 'list every tensor of the checkpoint')
    .action(async (file: string | undefined, flags: InspectFlags) => {
      const problems =
        file === undefined ? await doctor(flags, io) : await describe(file, flags, io);
      if (problems > 0) exit(EXIT.error);
    });
}

// ---------------------------------------------------------------------- the installation

async function doctor(flags: InspectFlags, io: Io): Promise<number> {
  const report = await examine();
  await write(io.stdout, flags.json ? json(report) : table(reportLines(report)));
  return report.problems.length;
}

async function examine(): Promise<Report> {
  const report: Report = {
    version: packageVersion(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    sharp: sharp.versions.sharp ?? 'unknown',
    libvips: sharp.versions.vips,
    devices: [],
    assets: findAssets(),
    problems: [],
  };
  try {
    report.native = getRuntimeInfo().native;
    report.devices = listDevices();
    report.cuda = getCudaInfo();
  } catch (error) {
    report.problems.push(problemOf(error));
  }
  for (const { name, present, path: file } of report.assets) {
    if (present) continue;
    report.problems.push({ message: `${name} is missing: ${file}`, help: ASSETS_HELP });
  }
  const starter = starterModel.path;
  report.assets.push({ name: 'Starter model', path: starter, present: existsSync(starter) });
  await verifiedStarter().catch((error) => report.problems.push(problemOf(error)));
  return report;
}

const ASSETS_HELP = 'In a checkout run "npm run build:assets"; reinstall an installed package.';

function findAssets(): Report['assets'] {
  // lib/cli and dist/cli are equally deep.
  const folder = path.join(__dirname, '..', '..', 'assets');
  return Object.entries({
    "CLIP's vocabulary": 'clip-vocabulary.json.gz',
    'Colour maps': 'colormaps.json',
  }).map(([name, file]) => {
    const place = path.join(folder, file);
    return { name, path: place, present: existsSync(place) };
  });
}

function problemOf(error: unknown): { message: string; help?: string } {
  const { message, help } = error as AcdClipError;
  return { message, ...(help !== undefined && { help }) };
}

type Line = readonly [label: string, value: string];

function reportLines(r: Report): Line[] {
  return [
    ['acd-clip-native', r.version],
    ['Node.js', `${r.node} on ${r.platform}`],
    ...(r.native ? nativeLines(r.native) : []),
    ['sharp', `${r.sharp}, libvips ${r.libvips}`],
    ...r.devices.flatMap(deviceLines),
    ...(r.cuda ? cudaLines(r.cuda) : []),
    ...r.assets.map((a): Line => [a.name, a.present ? 'present' : 'missing']),
    ...r.problems.map((p): Line => ['PROBLEM', [p.message, p.help].filter(Boolean).join('. ')]),
  ];
}

function nativeLines(n: RuntimeInfo['native']): Line[] {
  const forced = n.isaForced ? ` (forced by ACD_CLIP_ISA; the processor has ${n.isaDetected})` : '';
  return [
    ['Native addon', `${n.version}, ${n.compiler}`],
    ['Processor', n.cpu],
    ['Instruction set', `${n.isa}${forced}`],
    ['Threads', `${n.cpus}`],
    ['oneDNN', `${n.onednn}, ${n.onednnIsa}`],
  ];
}

function deviceLines(d: Device): Line[] {
  const state = d.available ? 'available' : 'not available';
  return [
    [
      `Device ${d.id}`,
      [d.name, state].filter(Boolean).join(', ') + (d.reason ? `: ${d.reason}` : ''),
    ],
    ...d.precisions.map(
      (p): Line => [`  ${p.name}`, `${p.available ? 'available' : 'not available'}: ${p.reason}`],
    ),
  ];
}

function cudaLines(cuda: CudaInfo): Line[] {
  if (cuda.plugin === '') return [];
  return [
    ['CUDA backend', [cuda.built, cuda.plugin].filter(Boolean).join(', ')],
    ...cuda.libraries.map((l): Line => {
      const found = [l.version, l.path].filter(Boolean).join(', ');
      return [l.name, [found, l.usable ? '' : 'not usable', l.reason].filter(Boolean).join(': ')];
    }),
    ...cuda.choices.map((choice): Line => ['Chosen', choice]),
  ];
}

// ---------------------------------------------------------------------- a checkpoint

async function describe(file: string, flags: InspectFlags, io: Io): Promise<number> {
  const found = await describeCheckpoint(file, { signal: io.signal });
  if (flags.json) {
    const { tensors, ...rest } = found;
    await write(io.stdout, json(flags.tensors ? found : { ...rest, tensorCount: tensors.length }));
  } else {
    await write(io.stdout, table(checkpointLines(found)));
    if (flags.tensors) await write(io.stdout, tensorList(found));
  }
  return found.problems.length;
}

function checkpointLines(d: CheckpointDescription): Line[] {
  const dtypes = Object.entries(d.dtypes).map(([dtype, count]) => `${count} ${dtype}`);
  return [
    ['Checkpoint', d.path],
    ['Format', d.format],
    ['Kind', d.kind],
    ...d.summary.split('; ').map((part, i): Line => [i === 0 ? 'Holds' : '', part]),
    ['Tensors', `${d.tensors.length} (${dtypes.join(', ')})`],
    ['Parameters', thousands(d.parameters)],
    ...d.files.map((f): Line => ['File', `${f.path}, ${thousands(f.bytes)} bytes`]),
    ...Object.entries(d.metadata).map(([key, value]): Line => ['Metadata', `${key} = ${value}`]),
    ...d.problems.map((problem): Line => ['PROBLEM', problem]),
  ];
}

function tensorList({ tensors }: CheckpointDescription): string {
  const width = Math.max(0, ...tensors.map((t) => t.name.length));
  return tensors
    .map(
      (t) => `${printable(t.name).padEnd(width)}  ${t.dtype.padEnd(5)} [${t.shape.join(', ')}]\n`,
    )
    .join('');
}

function thousands(n: number): string {
  return n.toLocaleString('en');
}

function table(lines: readonly Line[]): string {
  const width = Math.max(...lines.map(([label]) => label.length));
  return lines.map(([label, value]) => `${label.padEnd(width)}  ${printable(value)}\n`).join('');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
