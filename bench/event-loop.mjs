// How long the event loop waits while a model computes, and what JavaScript adds to a picture.
//
//   node bench/event-loop.mjs [--bundle FILE [--image-size S]] [--seconds 5] [--threads N]
//        [--cache DIR] [--json FILE]
//
// Delay: perf_hooks.monitorEventLoopDelay, idle and with two detections always under way. It notes the
// time between two firings of a timer of 1 ms, so a loop that is never late reads 1 ms and a little, as the
// idle row shows; "late" is the p99 without that 1 ms. Where the model takes all processors the loop's
// thread competes with it: a delay is then the scheduler's. Timers count whole milliseconds: a loop that
// is woken between two firings waits a whole one from there, up to 2 ms in all, so the row "woken" shows
// the same loop with as many messages a second from a worker as there were results, and nothing to do.
// Overhead: time from detect() to its result, less what the addon says it queued, preprocessed,
// computed and postprocessed; raw 518 x 518 pixels in, map out, one at a time. It holds the copies in
// and out, thread switches and, under "pixels in", the package's own copy of the raw picture. The tiny
// model is written to --cache; its result is checked to be the same bytes in every call.
import { writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import * as path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { AcdClip } from '../lib/index.mjs';
import { options, positive } from './lib/args.mjs';
import { describeMachine, machine } from './lib/machine.mjs';
import { bundleOf, sizeNamed } from './lib/models.mjs';
import { fixed, summarise, table } from './lib/stats.mjs';
import { picture } from './lib/synth.mjs';

const SIDE = 518;
const IN_FLIGHT = 2;
const TIMER_MS = 1;
const OVERHEAD_RUNS = 200;

const args = options(import.meta.url, {
  bundle: undefined,
  'image-size': undefined,
  seconds: 5,
  threads: availableParallelism(),
  cache: path.join(tmpdir(), 'acd-clip-bench'),
  json: undefined,
});
const threads = positive('threads', args.threads);
const seconds = Number(args.seconds);
const here = machine(threads);
console.log(`${describeMachine(here)}\n`);

const image = { data: picture('event-loop', SIDE, SIDE), width: SIDE, height: SIDE, channels: 3 };
// A map of the picture's size, whatever the model: the 1 MB that a ViT-L gives back.
const tiny = await withModel(
  { bundle: bundleOf('tiny', args.cache), imageSize: sizeNamed('tiny').imageSize },
  async (model) => ({
    delay: await delays('tiny', model),
    overhead: {
      none: await overhead(model, 'none'),
      image: await overhead(model, 'image'),
    },
  }),
);
const given = args.bundle && {
  delay: await withModel(
    {
      bundle: args.bundle,
      ...(args['image-size'] && { imageSize: positive('image-size', args['image-size']) }),
    },
    (model) => delays(path.basename(args.bundle), model),
  ),
};
report();

async function withModel(load, use) {
  const model = await AcdClip.load({ ...load, precision: 'fp32', threads });
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

async function delays(name, model) {
  const textFeatures = await model.encodePrompts('hazelnut');
  const first = await model.detect(image, { textFeatures });
  const idle = await observe(() => sleep(1000 * seconds));
  let pictures = 0;
  const busy = await observe(async () => {
    const end = performance.now() + 1000 * seconds;
    const worker = async () => {
      do {
        const found = await model.detect(image, { textFeatures });
        if (!same(found, first)) throw new Error('Expected the same map in every call');
        pictures++;
      } while (performance.now() < end);
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  });
  const woken = await observeWoken(pictures / seconds);
  return { name, idle, woken, busy, pictures };
}

/** `rate` messages a second from a worker, at random distances, that are only counted. */
async function observeWoken(rate) {
  const sender = `
    const { parentPort, workerData } = require('node:worker_threads');
    const never = new Int32Array(new SharedArrayBuffer(4));
    for (;;) {
      Atomics.wait(never, 0, 0, (0.5 + Math.random()) * workerData);
      parentPort.postMessage(0);
    }`;
  const worker = new Worker(sender, { eval: true, workerData: 1000 / rate });
  let messages = 0;
  worker.on('message', () => messages++);
  await new Promise((resolve) => worker.once('online', resolve));
  const start = performance.now();
  const before = messages;
  const delay = await observe(() => sleep(1000 * seconds));
  const perSecond = (1000 * (messages - before)) / (performance.now() - start);
  await worker.terminate();
  return { ...delay, perSecond };
}

async function observe(work) {
  const delay = monitorEventLoopDelay({ resolution: TIMER_MS });
  delay.enable();
  await work();
  delay.disable();
  const ms = (nanoseconds) => nanoseconds / 1e6;
  return { p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) };
}

/** Microseconds of a detection that the addon's own clock does not see. */
async function overhead(model, map) {
  const textFeatures = await model.encodePrompts('hazelnut');
  const micros = [];
  const decode = [];
  for (let i = 0; i < OVERHEAD_RUNS + 20; i++) {
    const start = performance.now();
    const { timing } = await model.detect(image, { textFeatures, map });
    const whole = performance.now() - start;
    const { decodeMs, queueMs, preprocessMs, computeMs, postprocessMs } = timing;
    // The first calls compile and grow buffers.
    if (i < 20) continue;
    micros.push(1000 * (whole - queueMs - preprocessMs - computeMs - postprocessMs));
    decode.push(1000 * decodeMs);
  }
  return { ...summarise(micros), decode: summarise(decode) };
}

function same(a, b) {
  const bytes = ({ map: { data } }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return a.score === b.score && bytes(a).equals(bytes(b));
}

function report() {
  const rows = [tiny.delay, ...(given ? [given.delay] : [])].flatMap((d) =>
    ['idle', 'woken', 'busy'].map((state) => [
      `${d.name}, ${state}${state === 'woken' ? ` ${fixed(d.woken.perSecond, 0)} times a second` : ''}`,
      ...['p50', 'p99', 'max'].map((key) => fixed(d[state][key])),
      fixed(d[state].p99 - TIMER_MS),
      state === 'busy' ? d.pictures : '-',
    ]),
  );
  console.log(table(['event-loop delay, ms', 'p50', 'p99', 'max', 'late, p99', 'pictures'], rows));
  console.log('');
  console.log(
    table(
      ['overhead per picture, us', 'median', 'min', 'p99', 'of the median: pixels in'],
      Object.entries(tiny.overhead).map(([map, o]) => [
        map === 'none' ? 'no map back' : `${SIDE} x ${SIDE} map back`,
        fixed(o.median, 0),
        fixed(o.min, 0),
        fixed(o.p99, 0),
        fixed(o.decode.median, 0),
      ]),
    ),
  );
  if (args.json) {
    writeFileSync(args.json, `${JSON.stringify({ machine: here, tiny, given }, null, 1)}\n`);
  }
}
