// The command line: which commands there are, and what becomes of what they throw.
import { Command, type CommanderError } from 'commander';
import { packageVersion } from '../runtime';
import { addCalibrate } from './calibrate';
import { addConvert } from './convert';
import { addDatasets } from './datasets';
import { addDetect } from './detect';
import { EXIT, reportFailure } from './exit';
import { addInspect } from './inspect';
import { type Io, note } from './io';

/** Flags of the published scripts that mean the same here. --dataset needs no other name. */
const ALIASES: Readonly<Record<string, string>> = {
  '--img_size': '--image-size',
  '--lora_alpha': '--lora-alpha',
  '--conv_lora_alpha': '--conv-lora-alpha',
};

const EPILOGUE = `
Examples:
  $ acd-clip detect nut.jpg --class "metal nut" --overlay
  $ acd-clip detect nut.jpg --class "metal nut" --backbone ViT-L-14-336px.pt --adapter adapter_12.pth
  $ export ACD_BUNDLE=model.safetensors
  $ acd-clip calibrate good/ --class "metal nut" --out nut.json
  $ acd-clip detect line/ --profile nut.json --regions --overlay out/ --fail-on-anomaly
  $ acd-clip detect "parts/**/*.png" --class screw --format csv --out scores.csv
  $ acd-clip inspect adapter_12.pth

Exit codes: 0 fine, 1 error, 2 usage, 3 anomalies found (detect --fail-on-anomaly), 130 interrupted.
Data goes to stdout, everything else to stderr. ACD_CLIP_DEBUG=1 adds stack traces to errors.
Flags of the published scripts also work: ${Object.keys(ALIASES).join(', ')}.`;

/** Runs one command line (without node and script) and returns its exit code. Never rejects. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // Without a listener, a reader that leaves would end the process; the failed write tells us. The
  // listeners stay: the event may come after the last command is done.
  for (const stream of [io.stdout, io.stderr]) stream.on('error', () => {});
  let code: number = EXIT.ok;
  try {
    const program = buildProgram(io, (c) => {
      code = c;
    });
    await program.parseAsync(withoutAliases(argv), { from: 'user' });
    return code;
  } catch (error) {
    return reportFailure(io, error);
  }
}

function buildProgram(io: Io, exit: (code: number) => void): Command {
  const program = new Command('acd-clip')
    .description('Zero-shot anomaly detection: scores pictures by the name of what they show.')
    .version(packageVersion())
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text) => reportUsage(io, text),
      getErrHelpWidth: () => 80,
      getOutHelpWidth: () => 80,
    })
    .exitOverride((error: CommanderError) => {
      throw error;
    })
    .addHelpText('after', EPILOGUE);
  addDetect(program, io, exit);
  addCalibrate(program, io);
  addInspect(program, io, exit);
  addConvert(program, io);
  addDatasets(program, io);
  return program;
}

/** commander's "error: unknown option '--clas'\n(Did you mean --class?)" in our two lines. */
function reportUsage(io: Io, text: string): void {
  const [first, ...more] = text.trim().split('\n');
  note(io, `acd-clip: ${first!.replace(/^error: /, '')}`);
  note(io, more.join(' ') || 'See "acd-clip --help", or --help after a command.');
}

function withoutAliases(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((arg, i) => {
    if (end >= 0 && i > end) return arg;
    const [flag, ...value] = arg.split('=');
    const name = ALIASES[flag!];
    return name === undefined ? arg : [name, ...value].join('=');
  });
}
