// onnxruntime-node's sides of bench/compare: one process, told what to do line by line.
//
//   node onnx_peer.mjs FOLDER      where FOLDER/node_modules/onnxruntime-node lies
//
// Pictures are resized and normalised by our own kernel, which is Pillow's to the byte: what a Node
// user has at hand (sharp) makes other pixels. That favours this side a little.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { kernels } from '../../lib/index.mjs';
import { saveFloats, serve, timed } from './worker.mjs';

const require = createRequire(path.join(process.argv[2], 'index.js'));
const ort = require('onnxruntime-node');

let threads;
let session;
let config;
let text;

await serve({
  hello(request) {
    threads = request.threads;
    return { versions: { 'onnxruntime-node': require('onnxruntime-node/package.json').version } };
  },
  async load({ model, config: c }) {
    config = c;
    const { result, ms } = await timed(() =>
      ort.InferenceSession.create(model, {
        executionProviders: ['cpu'],
        graphOptimizationLevel: 'all',
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
      }),
    );
    session = result;
    return { ms };
  },
  text({ features }) {
    const bytes = readFileSync(features);
    const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    text = new ort.Tensor('float32', data, [config.groups, config.embedDim, 2]);
    return {};
  },
  async image({ file, width, height, save }) {
    const pixels = readFileSync(file);
    const S = config.imageSize;
    const { result, ms, cpuMs } = await timed(async () => {
      const x = kernels.preprocess(pixels, width, height, S);
      return session.run({ image: new ort.Tensor('float32', x, [1, 3, S, S]), text });
    });
    if (save) saveFloats(save, result.map.data);
    return { ms, cpuMs, score: result.score.data[0] };
  },
});
