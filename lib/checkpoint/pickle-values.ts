// What a pickle can be made of here: data without behaviour. Dictionaries are Maps, so that no key
// ("__proto__", "constructor") means anything.
import type { CheckpointDtype } from './dtypes';

export type PickleKey = string | number | boolean;
export type PickleDict = Map<PickleKey, PickleValue>;

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleDict
  | PickleTuple
  | PickleList
  | PickleGlobal
  | StorageRef
  | TensorRef
  | ScriptObject;

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

export class PickleList {
  readonly items: PickleValue[] = [];
}

/** A name that GLOBAL pushed; nothing is looked up. */
export class PickleGlobal {
  constructor(
    readonly role:
      | 'dict'
      | 'tensor'
      | 'parameter'
      | 'storage'
      | 'script'
      | 'script-list'
      | 'script-tag',
    readonly name: string,
    /** Of a storage class. */
    readonly dtype?: CheckpointDtype,
  ) {}
}

/** ("storage", class, key, device, numel): the archive's record data/<key>. */
export class StorageRef {
  constructor(
    readonly key: string,
    readonly dtype: CheckpointDtype,
    readonly numel: number,
  ) {}
}

/** A view of a storage, already known to lie inside the numel that the storage claims. */
export class TensorRef {
  constructor(
    readonly storage: StorageRef,
    readonly offset: number,
    readonly shape: number[],
    readonly strides: number[],
  ) {}
}

/** An object of a TorchScript class: attributes only, whatever its class would do. */
export class ScriptObject {
  attributes: PickleDict = new Map();
}
