// Which precisions this build computes on this machine: what the package accepts is measured.
import { AcdClip } from '../../lib/index.mjs';
import { bundleOf, sizeNamed } from './models.mjs';

const KNOWN = ['fp32', 'bf16', 'int8'];

/** [{precision} or {precision, reason}], by loading the tiny model in each. */
export async function precisions(cache) {
  const bundle = bundleOf('tiny', cache);
  const { imageSize } = sizeNamed('tiny');
  const found = [];
  for (const precision of KNOWN) {
    try {
      const model = await AcdClip.load({ bundle, imageSize, precision, threads: 1 });
      const got = model.precision;
      await model.dispose();
      // Were another one used in its place, its time would stand under the wrong name.
      found.push(got === precision ? { precision } : { precision, reason: `runs as ${got}` });
    } catch (error) {
      found.push({ precision, reason: error.message });
    }
  }
  return found;
}
