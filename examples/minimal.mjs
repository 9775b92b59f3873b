// One picture in, one answer out.
//
//   node examples/minimal.mjs BACKBONE ADAPTER IMAGE "metal nut"
import { writeFile } from 'node:fs/promises';
import { AcdClip } from 'acd-clip-native';

const [backbone, adapter, image, className] = process.argv.slice(2);
if (!className) {
  console.error('usage: node examples/minimal.mjs BACKBONE ADAPTER IMAGE CLASS');
  process.exit(2);
}

const model = await AcdClip.load({ backbone, adapter });
const found = await model.detect(image, { className });
console.log(`score ${found.score.toFixed(4)}`);
await writeFile('anomaly.png', await found.map.overlay(image));
console.log('overlay in anomaly.png');
await model.dispose();
