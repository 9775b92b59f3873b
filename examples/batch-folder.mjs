// Every picture of a folder, worst first, with decoding and computing overlapped; by the starter model
// unless trained weights are named.
//
//   node examples/batch-folder.mjs FOLDER "metal nut" [BACKBONE ADAPTER]
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AcdClip } from 'acd-clip-native';

const [folder, className, backbone, adapter] = process.argv.slice(2);
if (!className) {
  console.error('usage: node examples/batch-folder.mjs FOLDER CLASS [BACKBONE ADAPTER]');
  process.exit(2);
}

const names = (await readdir(folder))
  .filter((name) => /\.(png|jpe?g|webp|tiff?)$/i.test(name))
  .sort();
const model = await AcdClip.load({ backbone, adapter });

const scored = [];
// The stream keeps the order of its input, so results and names go hand in hand.
const paths = names.map((name) => join(folder, name));
for await (const found of model.detectStream(paths, { className, map: 'none' })) {
  const name = names[scored.length];
  scored.push({ name, score: found.score });
  console.error(`${scored.length}/${names.length} ${name}`);
}
scored.sort((a, b) => b.score - a.score);
for (const { name, score } of scored) console.log(`${score.toFixed(4)}  ${name}`);
await model.dispose();
