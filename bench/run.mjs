// npm run bench: the native operations one by one, then whole models.
//
//   node bench/run.mjs [--only kernels|model] [--json FILE] [-- options of bench/model.mjs]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { options } from './lib/args.mjs';

const cut = process.argv.indexOf('--', 2);
const more = cut < 0 ? [] : process.argv.splice(cut).slice(1);
const args = options(import.meta.url, { only: undefined, json: undefined });
const PARTS = { kernels: 'kernels/run.mjs', model: 'model.mjs' };
if (args.only !== undefined && !(args.only in PARTS)) {
  throw new Error(
    `Expected one of ${Object.keys(PARTS).join(', ')} for --only but received ${args.only}`,
  );
}
const work = mkdtempSync(path.join(tmpdir(), 'acd-clip-bench-run-'));
const results = {};
try {
  for (const [part, script] of Object.entries(PARTS)) {
    if (args.only !== undefined && args.only !== part) continue;
    const json = path.join(work, `${part}.json`);
    const rest = part === 'model' ? more : [];
    const command = [path.join(import.meta.dirname, script), '--json', json, ...rest];
    const { status } = spawnSync(process.execPath, command, { stdio: 'inherit' });
    if (status !== 0) throw new Error(`${script} ended with ${status}`);
    results[part] = JSON.parse(readFileSync(json, 'utf8'));
    console.log('');
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
if (args.json) writeFileSync(args.json, `${JSON.stringify(results, null, 1)}\n`);
