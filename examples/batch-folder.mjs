// Every picture of a folder, worst first, with decoding and computing overlapped.
//
//   node examples/batch-folder.mjs BACKBONE ADAPTER FOLDER "metal nut"
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AcdClip } from 'acd-clip-native';

const [backbone, adapter, folder, className] = process.argv.slice(2);
if (!className) {
  console.error('usage: node examples/batch-folder.mjs BACKBONE ADAPTER FOLDER CLASS');
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
