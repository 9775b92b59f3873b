// Weights go from the file into their packed place: a load never holds them twice.
import type { NativePrecision } from '../../typings/native';
import { usablePrecisions } from '../helpers/models';
import { children, fine } from './child';

const BOUND = 1.3;
/** 21 million parameters: as many as a ViT-S and a text tower, 84 MB of f32. */
const run = children({
  visionWidth: 384,
  visionHeads: 6,
  visionLayers: 8,
  textWidth: 384,
  textHeads: 6,
  textLayers: 4,
  embedDim: 384,
  groups: 4,
  tokenEmbeddingSeed: 1,
});

test.each(usablePrecisions() as NativePrecision[])(
  'loading in %s needs at most 1.3 times the packed model',
  async (precision) => {
    const outcome = await run(`
      const { readFileSync, writeFileSync } = require('node:fs');
      const status = (key) => 1024 * Number(new RegExp(key + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      const spec = { ...(await specOf()), precision: ${JSON.stringify(precision)} };
      const native = lib('binding').native();
      const before = status('VmRSS');
      writeFileSync('/proc/self/clear_refs', '5');  // the peak starts over
      const model = await native.load(spec, () => {}).result;
      const { weightsBytes, peakBytes } = model.memoryUsage();
      answer({ weightsBytes, peakBytes, grown: status('VmHWM') - before });`);
    const { weightsBytes, peakBytes, grown } = fine(outcome);
    // In 8 bits the text tower, a third of the parameters, stays in bf16.
    const eight = (2 * 1 + 1 * 2) / 3;
    const bytesEach = { fp32: 4, bf16: 2, fp16: 2, int8: eight, fp8: eight }[precision];
    expect(weightsBytes).toBeGreaterThan(20e6 * bytesEach);
    expect(weightsBytes).toBeLessThan(20e6 * bytesEach * 1.3);
    if (process.env.ACD_TEST_FIGURES) {
      const [counted, resident] = [peakBytes / weightsBytes, grown / weightsBytes];
      process.stderr.write(
        `${precision}: ${JSON.stringify({ weightsBytes, counted, resident })}\n`,
      );
    }
    expect(peakBytes).toBeLessThan(BOUND * weightsBytes);
    expect(grown).toBeLessThan(BOUND * weightsBytes);
  },
);
