// The CPU gives one picture one result, bit for bit, however it is asked.
import type { AcdClip } from '../../../lib/acd-clip';
import type { Detection } from '../../../lib/model/types';
import { picture, tinySuite, usablePrecisions } from '../../helpers/models';

describe.each(usablePrecisions())('in %s', (precision) => {
  const suite = tinySuite({ precision });
  const NUT = { className: 'metal nut' };
  const images = Array.from({ length: 5 }, (_, i) => picture(i, 30 + 17 * i, 25 + 9 * i));

  const bytes = (found: Detection) => [
    found.score,
    found.parts.cls,
    found.parts.mapMax,
    Buffer.from(found.map!.data.buffer).toString('base64'),
  ];

  async function alone(model: AcdClip): Promise<unknown[]> {
    const all: unknown[] = [];
    for (const image of images) all.push(bytes(await model.detect(image, NUT)));
    return all;
  }

  test.each([1, 3, 8])('%i threads give the bytes that 2 give', async (threads) => {
    const model = await suite.load({ precision, threads });
    expect(model.threads).toBe(threads);
    expect(await alone(model)).toEqual(await alone(suite.model));
  });

  test('a picture gives the same bytes alone and at every place of a batch of 5', async () => {
    const expected = await alone(suite.model);
    for (let shift = 0; shift < 5; shift++) {
      const order = images.map((_, i) => (i + shift) % 5);
      const found = await suite.model.detectBatch(
        order.map((i) => images[i]!),
        NUT,
      );
      expect(found.map(bytes)).toEqual(order.map((i) => expected[i]));
    }
  });

  test('a batch of several classes and domains gives what each gives alone', async () => {
    const wishes = ['cable', 'tile', 'wood'].flatMap((className) => [
      { className, domain: 'industrial' as const },
      { className, domain: 'medical' as const },
    ]);
    const expected: unknown[] = [];
    for (const wish of wishes) expected.push(bytes(await suite.model.detect(images[0]!, wish)));
    const found = await Promise.all(wishes.map((wish) => suite.model.detect(images[0]!, wish)));
    expect(found.map(bytes)).toEqual(expected);
    expect(new Set(found.map((f) => f.score)).size).toBe(wishes.length);
  });

  test('asking 30 times, and a model loaded again, gives the same bytes', async () => {
    const [expected] = await alone(suite.model);
    for (let i = 0; i < 30; i++) {
      expect(bytes(await suite.model.detect(images[0]!, NUT))).toEqual(expected);
    }
    const again = await suite.load({ precision, queueLimit: 3, threads: 4 });
    expect(bytes(await again.detect(images[0]!, NUT))).toEqual(expected);
  });

  test('asking for regions, embeddings and maps beside it changes nothing', async () => {
    const [expected] = await alone(suite.model);
    const [found] = await Promise.all([
      suite.model.detect(images[0]!, { ...NUT, regions: { threshold: 0.4 } }),
      suite.model.embed(images[1]!, { patches: true }),
      suite.model.detect(images[2]!, { ...NUT, map: 'image' }),
      suite.model.encodePrompts('something else'),
    ]);
    expect(bytes(found!)).toEqual(expected);
  });
});
