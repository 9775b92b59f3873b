// What the public API calls `datasets`.
import { generateDataset } from './generate';

export type { GenerateDatasetOptions, GeneratedDataset, GenerateProgress } from './generate';

/** Sets of labelled pictures. */
export const datasets: {
  /** See {@link generateDataset}. */
  generate: typeof generateDataset;
} = { generate: generateDataset };
