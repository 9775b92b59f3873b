// Our side of bench/compare: one process, told what to do line by line (see torch_peer.py).
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { AcdClip } from '../../lib/index.mjs';
import { processMemory } from '../lib/machine.mjs';

let model;
let threads;
let features;

const requests = {
  hello(request) {
    threads = request.threads;
    return {};
  },
  async load({ bundle, config }) {
    const start = performance.now();
    model = await AcdClip.load({ bundle, threads, imageSize: config.imageSize });
    return { ms: performance.now() - start };
  },
  async text({ prompts }) {
    const start = performance.now();
    // Other sentences every time would be another length; the first call is the one that computes.
    features = await model.encodePrompts(prompts);
    return { ms: performance.now() - start };
  },
  async image({ file, width, height, save }) {
    const data = readFileSync(file);
    const cpu = process.cpuUsage();
    const start = performance.now();
    const found = await model.detect(
      { data, width, height, channels: 3 },
      { textFeatures: features },
    );
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    const { map } = found;
    if (save) {
      writeFileSync(save, Buffer.from(map.data.buffer, map.data.byteOffset, map.data.byteLength));
    }
    return { ms, cpuMs: (user + system) / 1000, score: found.score, timing: found.timing };
  },
  memory() {
    return processMemory();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: what, ...request } = JSON.parse(line);
  try {
    process.stdout.write(`${JSON.stringify(await requests[what](request))}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: `${error.name}: ${error.message}` })}\n`);
  }
}
await model?.dispose();
