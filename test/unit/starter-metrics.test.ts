import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { uniform } from '../helpers/synth';

const MODULE = pathToFileURL(join(__dirname, '../../scripts/starter/metrics.mjs')).href;
const FIXTURE = join(__dirname, '../fixtures/metrics/cases.json');

interface Case {
  /** JSON has neither NaN nor -0: null and '-0' stand for them. */
  scores: (number | null | '-0')[];
  labels: number[];
  type?: 'Array' | 'Float32Array' | 'Float64Array';
}
interface GoldenCase {
  case: number;
  images: number;
  size: number;
  quant: number;
  auroc: number;
  ap: number;
  maskBoxes: [number, number, number, number][][];
}
interface Answer {
  auroc: number | null;
  ap: number | null;
  error?: string;
}

/** All cases in one child: Jest cannot load an ES module. */
function rank(cases: readonly Case[]): Answer[] {
  const code = `
    import { readFileSync } from 'node:fs';
    import { rank } from ${JSON.stringify(MODULE)};
    const answers = JSON.parse(readFileSync(0, 'utf8')).map(({ scores, labels, type = 'Array' }) => {
      const values = globalThis[type].from(scores, (s) => (s === null ? NaN : Number(s)));
      try { return rank(values, labels); } catch (error) { return { error: error.message }; }
    });
    process.stdout.write(JSON.stringify(answers));`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    input: JSON.stringify(cases),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout) as Answer[];
}

/** Every pair of one abnormal and one normal sample, a tie counting half. */
function naiveAuroc({ scores, labels }: Case): number {
  let [sum, pairs] = [0, 0];
  scores.forEach((a, i) => {
    scores.forEach((b, j) => {
      if (labels[i] !== 1 || labels[j] !== 0) return;
      sum += a! > b! ? 1 : a === b ? 0.5 : 0;
      pairs++;
    });
  });
  return sum / pairs;
}

/** sum of (recall - last recall) * precision over the thresholds, one for each distinct score. */
function naiveAp({ scores, labels }: Case): number {
  const abnormal = labels.filter((l) => l === 1).length;
  const thresholds = [...new Set(scores)].map(Number).sort((a, b) => b - a);
  let [ap, lastRecall] = [0, 0];
  for (const threshold of thresholds) {
    const flagged = labels.filter((_, i) => Number(scores[i]) >= threshold);
    const found = flagged.filter((l) => l === 1).length;
    ap += (found / abnormal - lastRecall) * (found / flagged.length);
    lastRecall = found / abnormal;
  }
  return ap;
}

describe('the metrics of the starter model', () => {
  test("are the reference's on its cases", () => {
    const file: { seed: number; cases: GoldenCase[] } = JSON.parse(readFileSync(FIXTURE, 'utf8'));
    const answers = rank(file.cases.map((c) => goldenCase(c, file.seed)));
    file.cases.forEach(({ auroc, ap }, i) => {
      expect(answers[i]!.auroc).toBeCloseTo(auroc, 13);
      expect(answers[i]!.ap).toBeCloseTo(ap, 13);
    });
  });

  test('are those of the definitions on random scores with ties, in every type of array', () => {
    const cases: Case[] = [];
    for (let k = 0; k < 60; k++) {
      const length = 2 + ((k * 7) % 90);
      const levels = [2, 3, 10, 1000][k % 4]!;
      const u = uniform(`scores.${k}`, [length], 5, 0.5, 0.5);
      const scores = [...u].map((x) => (Math.floor(x * levels) - levels / 2) / 4);
      const labels = [...uniform(`labels.${k}`, [length], 6, 0.5, 0.5)].map((x) => +(x < 0.4));
      [labels[0], labels[1]] = [0, 1];
      cases.push({
        scores,
        labels,
        type: (['Array', 'Float32Array', 'Float64Array'] as const)[k % 3]!,
      });
    }
    rank(cases).forEach(({ auroc, ap }, i) => {
      expect(auroc).toBeCloseTo(naiveAuroc(cases[i]!), 14);
      expect(ap).toBeCloseTo(naiveAp(cases[i]!), 13);
    });
  });

  test('tell doubles apart that are the same float', () => {
    const scores = [1, 1 + Number.EPSILON];
    expect(rank([{ scores, labels: [0, 1], type: 'Float64Array' }])[0]!.auroc).toBe(1);
    expect(rank([{ scores, labels: [0, 1] }])[0]!.auroc).toBe(1);
  });

  test('take 0 and -0 for equal', () => {
    expect(rank([{ scores: [0, '-0'], labels: [0, 1], type: 'Float64Array' }])[0]!.auroc).toBe(0.5);
  });

  test('are null, not a number, where a class is missing', () => {
    const none = { auroc: null, ap: null };
    const answers = rank([
      { scores: [], labels: [] },
      { scores: [0.1, 0.2], labels: [1, 1] },
      { scores: [0.1, 0.2], labels: [0, 0] },
    ]);
    for (const answer of answers) expect(answer).toMatchObject(none);
  });

  test('refuse NaN, other labels and lengths that differ', () => {
    const errors = rank([
      { scores: [0.1, null], labels: [0, 1] },
      { scores: [0.1, 0.2], labels: [0, 2] },
      { scores: [0.1, 0.2], labels: [0] },
    ]).map(({ error }) => error);
    expect(errors).toEqual([
      'Expected a score at 1 but received NaN',
      'Expected label 0 or 1 at 1 but received 2',
      'Expected 2 labels but received 1',
    ]);
  });
});

function goldenCase(c: GoldenCase, seed: number): Case {
  const { images, size, quant } = c;
  const labels = new Array<number>(images * size * size).fill(0);
  c.maskBoxes.forEach((boxes, image) => {
    for (const [y0, x0, y1, x1] of boxes) {
      for (let y = y0; y < y1; y++) {
        const row = (image * size + y) * size;
        labels.fill(1, row + x0, row + x1);
      }
    }
  });
  const u = uniform(`metrics.scores.${c.case}`, [images, size, size], seed, 0.5, 0.5);
  const scores = [...u].map((x, i) => Math.fround(Math.fround(0.75 * x) + 0.25 * labels[i]!));
  return {
    scores: quant > 0 ? scores.map((s) => Math.floor(s * quant) / quant) : scores,
    labels,
    type: 'Float32Array',
  };
}
