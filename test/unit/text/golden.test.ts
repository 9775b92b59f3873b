import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encode } from '../../../lib/text/tokenizer';

interface Row {
  text: string;
  ids: number[];
}
const fixture = (name: string): Row[] =>
  JSON.parse(readFileSync(join(__dirname, '../../fixtures/text', name), 'utf8'));

describe('token ids', () => {
  test.each(fixture('tokens.json'))('of $text are those of the published tokeniser', (row) => {
    expect(encode(row.text)).toEqual(row.ids);
  });
});
