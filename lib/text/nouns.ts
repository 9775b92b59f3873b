// What each published dataset calls its classes in prompts, and which domain it belongs to.

import { AcdClipError } from '../errors';
import { checkOptions, checkString, invalid, isPlainObject, nearest, show } from '../validate';
import { clean } from './clean';

export type Domain = 'industrial' | 'medical';

/** Class name to noun. */
export type Nouns = Readonly<Record<string, string>>;

interface DatasetEntry {
  readonly domain: Domain;
  readonly classes: readonly string[];
  /** By class, or one noun for all; a class without one is called by its name. */
  readonly nouns: Nouns | string;
}

const SCAN = 'scan';
const ENDOSCOPY = 'colon endoscopy image';

const MVTEC: Nouns = {
  bottle: 'dark bottle',
  cable: 'top view of three cables',
  capsule: 'black and orange capsule',
  carpet: 'gray carpet',
  grid: 'metal or plastic mesh',
  hazelnut: 'single brown hazelnut',
  leather: 'brown leather',
  metal_nut: 'metal nut which has four notched edges',
  pill: "oval white pill with small red speckles and the letters 'FF' engraved",
  screw: 'screw',
  tile: 'speckled tile surface',
  toothbrush: 'toothbrush head',
  transistor: 'a three-legged transistor placed vertically',
  wood: 'wood surface',
  zipper: 'a black zipper',
};

const VISA: Nouns = {
  candle: 'candle',
  capsules: 'capsules',
  cashew: 'cashew nut',
  chewinggum: 'chewing gum',
  fryum: 'wheel-shaped fryum snack',
  macaroni1: 'orange macaroni',
  macaroni2: 'scattered yellow macaroni',
  pcb1: 'dual ultrasonic distance sensor pcb module',
  pcb2: 'integrated circuits board',
  pcb3: 'infrared sensor pcb module',
  pcb4: 'battery charging pcb module',
  pipe_fryum: 'pipe-shaped fryum',
};

const MPDD: Nouns = {
  connector: 'metal clamps with black adjustment knobs',
  metal_plate: 'blue rectangular metal plate with a notch on one side',
  tubes: 'scattered metal objects',
};
const MPDD_CLASSES = [
  'bracket_black',
  'bracket_brown',
  'bracket_white',
  'connector',
  'metal_plate',
  'tubes',
];

// Its defects are its classes, and go by their own names.
const RSDD: Nouns = { Dent: 'Dent', Crush: 'Crush', Scratch: 'Scratch', Damage: 'Damage' };

const industrial = (classes: readonly string[], nouns: Nouns): DatasetEntry => ({
  domain: 'industrial',
  classes,
  nouns,
});
const medical = (className: string, noun: string): DatasetEntry => ({
  domain: 'medical',
  classes: [className],
  nouns: noun,
});

const DATASETS: Readonly<Record<string, DatasetEntry>> = {
  MVTec: industrial(Object.keys(MVTEC), MVTEC),
  VisA: industrial(Object.keys(VISA), VISA),
  MPDD: industrial(MPDD_CLASSES, MPDD),
  BTAD: industrial(['01', '02', '03'], {}),
  RSDD: industrial(Object.keys(RSDD), RSDD),
  Brain: medical('Brain', SCAN),
  Liver: medical('Liver', SCAN),
  Retina: medical('Retina', SCAN),
  Colon_clinicDB: medical('Colon_clinicDB', ENDOSCOPY),
  Colon_colonDB: medical('Colon_colonDB', ENDOSCOPY),
  Colon_Kvasir: medical('Kvasir', ENDOSCOPY),
  Colon_cvc300: medical('CVC-300', ENDOSCOPY),
};

/** The datasets whose nouns and domain are known, as the published lists name them. */
export const DATASET_NAMES: readonly string[] = Object.keys(DATASETS);

export interface NounOptions {
  /** One of DATASET_NAMES, in any case. Without it no table applies. */
  dataset?: string;
  /** The user's own nouns; they come before every table. */
  nouns?: Nouns;
}

/**
 * The noun for a class: the user's, else the dataset's when a dataset is named, else the class name
 * with `_` as spaces.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG (also for a dataset that is not known),
 *   ERR_ACD_UNKNOWN_OPTION
 */
export function nounFor(className: string, o: NounOptions = {}): string {
  if (clean(checkString('className', className)).length === 0) {
    throw invalid('className', 'name with at least one visible character', className);
  }
  checkOptions('nounFor', o, ['dataset', 'nouns']);
  const published = o.dataset === undefined ? undefined : publishedNoun(className, o.dataset);
  if (o.nouns !== undefined) {
    if (!isPlainObject(o.nouns)) throw invalid('nouns', 'object of class: noun', o.nouns);
    if (Object.hasOwn(o.nouns, className)) {
      return checkString(`nouns[${show(className)}]`, o.nouns[className]);
    }
  }
  return published ?? className.replaceAll('_', ' ');
}

/**
 * Whether a dataset is industrial or medical: scores are weighted and maps smoothed accordingly.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG the dataset is not known
 */
export function domainOf(dataset: string): Domain {
  return find(dataset).domain;
}

/**
 * The classes that a dataset publishes, in its own spelling.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG the dataset is not known
 */
export function classesOf(dataset: string): string[] {
  return [...find(dataset).classes];
}

/**
 * The noun that a dataset's table has for a class, or undefined where it has none.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG the dataset is not known
 */
export function publishedNoun(className: string, dataset: string): string | undefined {
  const { nouns } = find(dataset);
  if (typeof nouns === 'string') return nouns;
  // "metal nut" is the data set's metal_nut.
  const name = [className, className.replaceAll(' ', '_')].find((n) => Object.hasOwn(nouns, n));
  return name === undefined ? undefined : nouns[name];
}

function find(dataset: unknown): DatasetEntry {
  const wanted = checkString('dataset', dataset).toLowerCase();
  const name = DATASET_NAMES.find((n) => n.toLowerCase() === wanted);
  if (name !== undefined) return DATASETS[name]!;
  const near = nearest(wanted, DATASET_NAMES);
  throw new AcdClipError(
    'ERR_ACD_INVALID_ARG',
    `Expected one of ${DATASET_NAMES.join(', ')} for dataset but received ${show(dataset)}` +
      (near ? `; did you mean "${near}"?` : ''),
    { help: 'For a dataset of your own leave it out and give nouns instead.' },
  );
}
