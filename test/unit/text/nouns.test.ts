import { classesOf, DATASET_NAMES, domainOf, nounFor } from '../../../lib/text/nouns';
import { promptsFor } from '../../../lib/text/prompts';
import { tokenize } from '../../../lib/text/tokenizer';

describe('nounFor', () => {
  test('uses a class name as it is when no dataset is named', () => {
    expect(nounFor('hazelnut')).toBe('hazelnut');
    expect(nounFor('metal nut')).toBe('metal nut');
    expect(nounFor('metal_nut')).toBe('metal nut');
  });

  test.each([
    ['MVTec', 'metal_nut', 'metal nut which has four notched edges'],
    ['MVTec', 'pill', "oval white pill with small red speckles and the letters 'FF' engraved"],
    ['VisA', 'pcb1', 'dual ultrasonic distance sensor pcb module'],
    ['visa', 'macaroni2', 'scattered yellow macaroni'],
    ['MPDD', 'tubes', 'scattered metal objects'],
    ['MPDD', 'bracket_black', 'bracket black'],
    ['BTAD', '01', '01'],
    ['RSDD', 'Crush', 'Crush'],
    ['Brain', 'Brain', 'scan'],
    ['Colon_cvc300', 'CVC-300', 'colon endoscopy image'],
    ['MVTec', 'my_part', 'my part'],
  ])('calls %s %s "%s"', (dataset, className, noun) => {
    expect(nounFor(className, { dataset })).toBe(noun);
  });

  test('prefers the noun of the user', () => {
    const nouns = { pill: 'white pill', Brain: 'brain MRI' };
    expect(nounFor('pill', { dataset: 'MVTec', nouns })).toBe('white pill');
    expect(nounFor('Brain', { dataset: 'Brain', nouns })).toBe('brain MRI');
    expect(nounFor('screw', { dataset: 'MVTec', nouns })).toBe('screw');
  });

  test.each(['constructor', '__proto__', 'toString'])(
    'does not find %s in a table by accident',
    (name) => {
      expect(nounFor(name, { dataset: 'MVTec', nouns: {} })).toBe(name.replaceAll('_', ' '));
    },
  );

  test('suggests the dataset that was meant', () => {
    expect(() => nounFor('x', { dataset: 'MVTeq' })).toThrow(
      expect.objectContaining({
        code: 'ERR_ACD_INVALID_ARG',
        message: expect.stringContaining('"MVTec"'),
      }),
    );
    expect(() => nounFor('x', { dataset: 'constructor' })).toThrow(
      expect.objectContaining({ code: 'ERR_ACD_INVALID_ARG' }),
    );
  });

  test.each([
    ['', {}],
    ['a', { nouns: [] }],
    ['a', { nouns: { a: 3 } }],
    ['a', { nouns: { a: '' } }],
  ])('refuses %j with %j', (name, o) => {
    expect(() => nounFor(name, o as object)).toThrow(
      expect.objectContaining({ code: 'ERR_ACD_INVALID_ARG' }),
    );
  });
});

describe('the datasets', () => {
  test('have the published numbers of classes', () => {
    const counts = DATASET_NAMES.map((name) => classesOf(name).length);
    expect(counts).toEqual([15, 12, 6, 3, 4, 1, 1, 1, 1, 1, 1, 1]);
  });

  test('are industrial or medical', () => {
    expect(DATASET_NAMES.filter((n) => domainOf(n) === 'industrial')).toEqual([
      'MVTec',
      'VisA',
      'MPDD',
      'BTAD',
      'RSDD',
    ]);
    expect(domainOf('Retina')).toBe('medical');
  });

  test('give prompts that fit the context with every noun', () => {
    for (const dataset of DATASET_NAMES) {
      for (const className of classesOf(dataset)) {
        const { normal, abnormal } = promptsFor(nounFor(className, { dataset }));
        expect(tokenize([...normal, ...abnormal]).length).toBeLessThan(30);
      }
    }
  });
});
