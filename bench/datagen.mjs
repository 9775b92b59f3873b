// How fast the generator draws: mean time of one 256 x 256 sample for each class, normal and
// abnormal, one thread, and the rate of all threads together.
//
//   node bench/datagen.mjs [samples per class, default 8]

import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';

const root = new URL('..', import.meta.url);
const { datagen } = createRequire(import.meta.url)('node-gyp-build')(root.pathname);
const samples = Number(process.argv[2] ?? 8);
const SIZE = 256;

const request = (classId, index, defect) => ({
  seed: 1,
  index,
  size: SIZE,
  classId,
  defect,
  sharedDesign: false,
});

async function meanMs(classId, defect) {
  const start = performance.now();
  for (let i = 0; i < samples; i++) await datagen.sample(request(classId, i, defect));
  return (performance.now() - start) / samples;
}

const classes = datagen.classes();
await meanMs(0, -1);
console.log(`ms per ${SIZE} px sample, clean twin and thread start included`);
console.log('class               normal  abnormal');
const sums = [0, 0];
for (const [id, { name }] of classes.entries()) {
  const [normal, abnormal] = [await meanMs(id, -2), await meanMs(id, -1)];
  sums[0] += normal;
  sums[1] += abnormal;
  console.log(
    `${name.padEnd(18)} ${normal.toFixed(2).padStart(7)} ${abnormal.toFixed(2).padStart(9)}`,
  );
}
const [normal, abnormal] = sums.map((sum) => (sum / classes.length).toFixed(2).padStart(7));
console.log(`${'mean'.padEnd(18)} ${normal}   ${abnormal}`);

const threads = availableParallelism();
const start = performance.now();
let next = 0;
const total = samples * classes.length;
const worker = async () => {
  for (let i = next++; i < total; i = next++)
    await datagen.sample(request(i % classes.length, i, -1));
};
await Promise.all(Array.from({ length: threads }, worker));
const rate = (1000 * total) / (performance.now() - start);
console.log(`${rate.toFixed(0)} abnormal samples a second on ${threads} threads`);
