// What a detection's options ask for, checked and completed.
import { AcdClipError } from '../errors';
import { checkPrompts, type Domain, domainOf, nounFor, type Prompts, promptsFor } from '../text';
import { checkInteger, checkNumber, checkOneOf, checkOptions } from '../validate';
import type { Profile } from './profile';
import type { DetectOptions } from './types';

/** The prompts that the options ask for; undefined when they name none. */
export function promptsOf(
  o: Pick<DetectOptions, 'className' | 'prompts' | 'dataset' | 'nouns'>,
): Prompts | undefined {
  if (o.prompts !== undefined) return checkPrompts(o.prompts);
  if (o.className === undefined) return undefined;
  const { dataset, nouns } = o;
  return promptsFor(
    nounFor(o.className, {
      ...(dataset !== undefined && { dataset }),
      ...(nouns !== undefined && { nouns }),
    }),
  );
}

export function domainFor(o: Pick<DetectOptions, 'domain' | 'dataset'>, profile?: Profile): Domain {
  if (o.domain !== undefined) return checkOneOf('domain', o.domain, ['industrial', 'medical']);
  if (profile) return profile.domain;
  return o.dataset === undefined ? 'industrial' : domainOf(o.dataset);
}

export function regionsOf(
  wish: DetectOptions['regions'],
  profile: Profile | undefined,
): { threshold: number; minArea: number } | undefined {
  if (wish === undefined || wish === false) return undefined;
  const o = wish === true ? {} : wish;
  checkOptions('regions', o, ['threshold', 'minArea']);
  const threshold = o.threshold ?? profile?.mapThreshold;
  if (threshold === undefined) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      'Expected regions.threshold (0..1) or a profile but received neither',
      {
        help: 'No threshold fits every object: calibrate one on good pictures, or pass { regions: { threshold: 0.5 } }.',
      },
    );
  }
  return {
    threshold: checkNumber('regions.threshold', threshold, 0, 1),
    minArea:
      o.minArea === undefined
        ? 1
        : checkInteger('regions.minArea', o.minArea, 1, Number.MAX_SAFE_INTEGER),
  };
}
