// Bounds on what a checkpoint may ask for. Each one is far above any genuine CLIP file and low enough
// that a hostile file is refused before it costs time or memory.

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export const LIMITS = {
  /** One file. Weights never enter the JS heap, so the bound only has to stop absurd sizes. */
  fileBytes: 16 * GIB,
  /** Tensors of one checkpoint, all its shards together. */
  tensors: 16_384,
  /** Axes of one tensor. */
  rank: 8,
  /** UTF-8 bytes of a tensor's name. */
  nameBytes: 512,
  /** Non-tensor values kept as metadata. */
  metadataEntries: 4_096,

  /** data.pkl of a torch archive. */
  pickleBytes: 16 * MIB,
  /** Opcodes executed. A ViT-H with optimizer state needs about 150,000. */
  pickleOps: 262_144,
  pickleStack: 65_536,
  pickleMemo: 65_536,
  /** Open MARKs, and levels of nested dictionaries or modules. */
  pickleDepth: 64,
  pickleStringBytes: 1 * MIB,
  /** A GLOBAL's module or name. */
  pickleGlobalBytes: 512,
  /** Nodes of a module tree: shared parts count once per visit, so that a few bytes cannot unfold. */
  treeNodes: 65_536,

  zipEntries: 16_384,
  zipNameBytes: 1_024,
  /** The central directory, about 80 bytes an entry. */
  zipDirectoryBytes: 4 * MIB,

  /** Header of a safetensors file, and the JSON of a shard index. */
  jsonBytes: 16 * MIB,
  jsonValues: 262_144,
  jsonDepth: 8,
  shards: 256,

  /** Bytes copied at once while writing. */
  copyChunkBytes: 16 * MIB,
  /** A tensor stored with strides is gathered in memory when written; larger ones are refused. */
  gatherBytes: 256 * MIB,
} as const;
