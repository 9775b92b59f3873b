// acd-clip convert
import { type Command, Option } from 'commander';
import { convertCheckpoint } from '../checkpoint';
import { type Io, write } from './io';

interface ConvertFlags {
  dtype: 'keep' | 'f32' | 'f16' | 'bf16';
  overwrite?: boolean;
}

export function addConvert(program: Command, io: Io): void {
  program
    .command('convert')
    .summary('rewrite a checkpoint in another format')
    .description(
      'Rewrites a checkpoint in the format that the name of OUT ends in: .safetensors, .pt, .pth or .bin.',
    )
    .argument('<in>', 'checkpoint to read')
    .argument('<out>', 'file to write')
    .addOption(
      new Option('--dtype <type>', 'type of the floating-point tensors')
        .choices(['keep', 'f32', 'f16', 'bf16'])
        .default('keep'),
    )
    .option('--overwrite', 'replace an existing file')
    .action((input: string, output: string, flags: ConvertFlags) =>
      convert(input, output, flags, io),
    );
}

async function convert(
  input: string,
  output: string,
  { dtype, overwrite = false }: ConvertFlags,
  io: Io,
): Promise<void> {
  const done = await convertCheckpoint(input, output, { dtype, overwrite, signal: io.signal });
  await write(io.stdout, `${done.path}: ${done.tensors} tensors, ${done.bytes} bytes\n`);
}
