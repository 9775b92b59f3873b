// *.safetensors.index.json: which shard of a split safetensors checkpoint holds which tensor.
import * as path from 'node:path';
import type { Checkpoint, MetadataValue } from './checkpoint';
import { corrupt, refused, unsupportedFormat } from './failures';
import { LIMITS } from './limits';
import { readSafetensors } from './safetensors';
import { SourceFile } from './source-file';
import { type JsonObject, parseStrictJson, quote } from './strict-json';

/** Reads a shard index and the headers of all its shards. files[0] is the first shard. */
export async function readShardIndex(index: SourceFile, signal?: AbortSignal): Promise<Checkpoint> {
  const { weightMap, metadata } = await readIndex(index);
  const checkpoint: Checkpoint = {
    path: index.path,
    format: 'safetensors-sharded',
    files: [],
    tensors: new Map(),
    metadata,
  };
  const shards = [...new Set(weightMap.values())].sort();
  if (shards.length > LIMITS.shards) {
    throw refused(index.path, `Expected at most ${LIMITS.shards} shards, got ${shards.length}`);
  }
  for (const shard of shards) {
    signal?.throwIfAborted();
    await addShard(checkpoint, shard, weightMap);
  }
  return checkpoint;
}

async function addShard(
  checkpoint: Checkpoint,
  shard: string,
  weightMap: ReadonlyMap<string, string>,
): Promise<void> {
  const file = await SourceFile.open(path.join(path.dirname(checkpoint.path), shard));
  try {
    const table = await readSafetensors(file, checkpoint.files.length);
    for (const [name, home] of weightMap) {
      if (home !== shard) continue;
      const tensor = table.tensors.get(name);
      if (tensor === undefined) {
        throw corrupt(checkpoint.path, `Expected tensor ${quote(name)} in shard ${quote(shard)}`);
      }
      checkpoint.tensors.set(name, tensor);
    }
    checkpoint.files.push(file.info);
  } finally {
    await file.close();
  }
}

async function readIndex(
  index: SourceFile,
): Promise<{ weightMap: Map<string, string>; metadata: Map<string, MetadataValue> }> {
  if (index.bytes > LIMITS.jsonBytes) {
    throw refused(index.path, `Expected a shard index of at most ${LIMITS.jsonBytes} bytes`);
  }
  const json = parseStrictJson(index.path, await index.read(0, index.bytes), 0);
  const map = json instanceof Map ? json.get('weight_map') : undefined;
  if (!(json instanceof Map) || map === undefined) {
    throw unsupportedFormat(
      index.path,
      'Expected a checkpoint (.pt, .pth, .bin or .safetensors) but found a JSON document without weight_map',
    );
  }
  if (!(map instanceof Map)) throw corrupt(index.path, 'Expected an object for weight_map');
  return { weightMap: readWeightMap(index.path, map), metadata: readMetadata(json) };
}

function readWeightMap(file: string, map: JsonObject): Map<string, string> {
  if (map.size > LIMITS.tensors) {
    throw refused(
      file,
      `Expected at most ${LIMITS.tensors} tensors but weight_map has ${map.size}`,
    );
  }
  const weightMap = new Map<string, string>();
  for (const [name, shard] of map) {
    // A shard is a neighbour of its index: anything that could lead elsewhere is not a file name.
    if (typeof shard !== 'string' || !/^[\w][\w .+=@-]*\.safetensors$/.test(shard)) {
      throw refused(
        file,
        `Expected a plain *.safetensors file name in the same folder for tensor ${quote(name)}, got ${typeof shard === 'string' ? quote(shard) : 'no string'}`,
      );
    }
    weightMap.set(name, shard);
  }
  return weightMap;
}

function readMetadata(json: JsonObject): Map<string, MetadataValue> {
  const metadata = new Map<string, MetadataValue>();
  const found = json.get('metadata');
  if (!(found instanceof Map)) return metadata;
  for (const [key, value] of found) {
    if (metadata.size >= LIMITS.metadataEntries) break;
    if (['string', 'number', 'boolean'].includes(typeof value)) {
      metadata.set(key, value as MetadataValue);
    }
  }
  return metadata;
}
