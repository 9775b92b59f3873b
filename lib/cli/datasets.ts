// acd-clip datasets generate
import type { Command } from 'commander';
import { generateDataset } from '../datasets/generate';
import { type Io, note, write } from './io';
import { integer, number } from './parsers';
import { progressOn } from './progress';

interface GenerateFlags {
  count: number;
  seed: number;
  size: number;
  classes?: string[];
  abnormalRatio: number;
  overwrite?: boolean;
  quiet?: boolean;
}

export function addDatasets(program: Command, io: Io): void {
  const datasets = program.command('datasets').description('Makes sets of labelled pictures.');
  datasets
    .command('generate')
    .summary('draw textures and objects with defects')
    .description(
      'Draws textures and objects, good and with defects, with exact masks, in the layout of MVTec AD. The same seed gives the same pictures everywhere.',
    )
    .argument('<out>', 'folder to fill; must be new, empty, or an earlier output')
    .option('--count <n>', 'pictures in all', integer(1, 10_000_000), 200)
    .option('--seed <n>', 'which pictures', integer(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--size <pixels>', 'side of the pictures', integer(32, 1024), 256)
    .option('--classes <names>', 'class names with commas between; default all', names)
    .option('--abnormal-ratio <share>', 'share of pictures with a defect', number(0, 1), 0.5)
    .option('--overwrite', 'replace an earlier output')
    .option('-q, --quiet', 'no progress on stderr')
    .action((out: string, flags: GenerateFlags) => generate(out, flags, io));
}

function names(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}

async function generate(out: string, flags: GenerateFlags, io: Io): Promise<void> {
  const { quiet = false, ...options } = flags;
  const progress = progressOn(io, 'Drawing', { quiet });
  try {
    const made = await generateDataset(out, {
      ...options,
      signal: io.signal,
      onProgress: ({ done, total }) => progress.update(done, total),
    });
    progress.stop();
    if (!quiet) {
      note(
        io,
        `${made.images} pictures of ${made.classes.length} classes, ${made.abnormal} abnormal`,
      );
    }
    await write(io.stdout, `${made.path}\n`);
  } finally {
    progress.stop();
  }
}
