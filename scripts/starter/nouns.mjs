// The sentences the starter model is trained with. Everything else about text (cleaning, byte-pair
// encoding) is the package's own tokenizer; Python gets token ids only.

/** Words for the generator's classes, the published noun first. Other words of the same thing
 * teach the text tower that the noun says what is shown and not whether it is damaged. */
export const SYNONYMS = {
  woven_fabric: ['cloth', 'white textile', 'canvas'],
  carpet: ['gray carpet', 'rug'],
  mesh: ['grid', 'wire mesh', 'grating'],
  wood: ['wooden board', 'plank'],
  paper: ['sheet of paper', 'cardboard'],
  foam: ['sponge', 'foam board'],
  ceramic_tile: ['tile', 'ceramic tile', 'terrazzo'],
  concrete: ['concrete', 'wall', 'road surface'],
  painted_surface: ['painted panel', 'car body', 'plastic surface'],
  brushed_metal: ['brushed steel', 'metal surface'],
  metal_plate: ['steel strip', 'metal sheet', 'plate'],
  soft_tissue: ['tissue', 'endoscopy image', 'scan'],
  pill: ['tablet', 'oval white pill'],
  button: ['shirt button', 'plastic button'],
  bottle: ['dark bottle', 'bottle neck'],
  metal_nut: ['hex nut', 'nut'],
  washer: ['ring', 'gasket'],
  screw: ['bolt', 'machine screw'],
  circuit_board: ['pcb', 'circuit board', 'electronic module'],
  cable: ['top view of three cables', 'wires'],
  toothbrush: ['toothbrush head', 'brush'],
  seed: ['nut', 'bean', 'kernel'],
  fruit: ['round fruit', 'vegetable', 'berry'],
  photograph: ['texture', 'material', 'stone surface', 'object'],
  composition: ['thing', 'part', 'item', 'pattern'],
};

/** States beside the published ones, so that prompts a user writes work too. */
export const MORE_NORMAL = [
  'flawless {}',
  'a perfect {}',
  'an intact {}',
  'a normal {}',
  'a good {}',
  'a clean {}',
  'a healthy {}',
  'a {} without defect',
  'a {} without flaw',
  'an undamaged {}',
];
export const MORE_ABNORMAL = [
  'a scratched {}',
  'a cracked {}',
  'a dirty {}',
  'a dented {}',
  'a stained {}',
  'a faulty {}',
  'a bad {}',
  'an abnormal {}',
  'a {} with a hole',
  'a {} with a crack',
  'a {} with a stain',
  'a {} with a missing part',
  'a {} with contamination',
  'a {} with a lesion',
];
/** Stands where Python puts random tokens in place of a noun. */
export const PLACEHOLDER_NOUN = 'x';
