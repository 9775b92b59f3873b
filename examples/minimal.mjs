// One picture in, one answer out; by the starter model unless trained weights are named.
//
//   node examples/minimal.mjs IMAGE "metal nut" [BACKBONE ADAPTER]
import { writeFile } from 'node:fs/promises';
import { AcdClip } from 'acd-clip-native';

const [image, className, backbone, adapter] = process.argv.slice(2);
if (!className) {
  console.error('usage: node examples/minimal.mjs IMAGE CLASS [BACKBONE ADAPTER]');
  process.exit(2);
}

const model = await AcdClip.load({ backbone, adapter });
const found = await model.detect(image, { className });
console.log(`score ${found.score.toFixed(4)}`);
await writeFile('anomaly.png', await found.map.overlay(image));
console.log('overlay in anomaly.png');
await model.dispose();
