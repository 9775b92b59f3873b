// Our sides of bench/compare, and the worker of bench/model: one process, one precision.
import { readFileSync } from 'node:fs';
import { AcdClip } from '../../lib/index.mjs';
import { saveFloats, serve, timed } from './worker.mjs';

let model;
let threads;
let features;
let last;

const pictureOf = ({ file, width, height }) => {
  // One copy in memory: reading the file is no part of the time.
  if (last?.file !== file) last = { file, data: readFileSync(file) };
  return { data: last.data, width, height, channels: 3 };
};

await serve({
  hello(request) {
    threads = request.threads;
    return { versions: {} };
  },
  async load({ bundle, config, precision }) {
    const { result, ms } = await timed(() =>
      AcdClip.load({
        ...(bundle !== undefined && { bundle }),
        threads,
        precision,
        ...(config && { imageSize: config.imageSize }),
      }),
    );
    model = result;
    return {
      ms,
      precision: model.precision,
      imageSize: model.imageSize,
      memory: model.memoryUsage(),
    };
  },
  async text({ prompts, save }) {
    // Other sentences every time would be another length; the first call is the one that computes.
    const { result, ms } = await timed(() => model.encodePrompts(prompts));
    features = result;
    if (save) saveFloats(save, features.data);
    return { ms };
  },
  async image({ save, stages, ...picture }) {
    const image = pictureOf(picture);
    const { result, ms, cpuMs } = await timed(() =>
      model.detect(image, { textFeatures: features, ...(stages && { stages }) }),
    );
    if (save) saveFloats(save, result.map.data);
    return { ms, cpuMs, score: result.score, timing: result.timing };
  },
  /** `count` times the same picture, computed as fast as they go. */
  async many({ count, ...picture }) {
    const image = pictureOf(picture);
    const images = Array.from({ length: count }, () => image);
    const { result, ms, cpuMs } = await timed(() =>
      model.detectBatch(images, { textFeatures: features }),
    );
    return { ms, cpuMs, scores: [...new Set(result.map((found) => found.score))] };
  },
});
await model?.dispose();
