// Pickles that want more than data. None of them may load, and each refusal names the opcode and byte.
import { readCheckpoint } from '../../lib/checkpoint';
import { readPickle } from '../../lib/checkpoint/pickle';
import {
  PickleGlobal,
  PickleList,
  PickleTuple,
  type ScriptObject,
} from '../../lib/checkpoint/pickle-values';
import {
  codeOf,
  errorOf,
  P,
  pickle,
  pickledDict,
  pickledTensor,
  put,
  raw,
  temporaryFolder,
  torchFile,
  torchZip,
} from '../helpers/checkpoint-files';

const CORRUPT = 'ERR_ACD_CHECKPOINT_CORRUPT';
const REFUSED = 'ERR_ACD_CHECKPOINT_REFUSED';
const read = (bytes: Buffer, script = false) => readPickle(bytes, { file: 'x.pth', script });
const folder = temporaryFolder();

const call = (module: string, name: string, ...args: Buffer[]) =>
  pickle(P.global(module, name), P.mark, ...args, P.tuple, P.reduce);
const orderedDict = P.global('collections', 'OrderedDict');
const dict = P.emptyDict;

describe('a pickle that asks for more than data is refused by opcode and byte', () => {
  const cases: [name: string, bytes: Buffer, message: string][] = [
    ['os.system', call('os', 'system', P.text('id')), '"os.system" at byte 2'],
    ['posix.system', call('posix', 'system', P.text('id')), '"posix.system"'],
    ['nt.system', call('nt', 'system', P.text('id')), '"nt.system"'],
    ['builtins.eval', call('builtins', 'eval', P.text('1')), '"builtins.eval"'],
    ['builtins.exec', call('builtins', 'exec', P.text('1')), '"builtins.exec"'],
    ['__builtin__.getattr', call('__builtin__', 'getattr', P.text('x')), '"__builtin__.getattr"'],
    ['subprocess.Popen', call('subprocess', 'Popen', P.text('id')), '"subprocess.Popen"'],
    ['runpy', call('runpy', '_run_code', P.text('x')), '"runpy._run_code"'],
    ['socket', call('socket', 'create_connection', P.text('x')), '"socket.create_connection"'],
    ['webbrowser.open', call('webbrowser', 'open', P.text('x')), '"webbrowser.open"'],
    ['pip.main', call('pip', 'main', P.text('x')), '"pip.main"'],
    ['importlib', call('importlib', 'import_module', P.text('os')), '"importlib.import_module"'],
    ['operator.attrgetter', call('operator', 'attrgetter', P.text('x')), '"operator.attrgetter"'],
    ['functools.partial', call('functools', 'partial', P.text('x')), '"functools.partial"'],
    ['pickle.loads', call('pickle', 'loads', P.text('x')), '"pickle.loads"'],
    ['_codecs.encode', call('_codecs', 'encode', P.text('x')), '"_codecs.encode"'],
    ['copyreg._reconstructor', call('copyreg', '_reconstructor'), '"copyreg._reconstructor"'],
    ['numpy scalars', call('numpy.core.multiarray', 'scalar'), '"numpy.core.multiarray.scalar"'],
    ['numpy.load', call('numpy', 'load', P.text('x')), '"numpy.load"'],
    ['torch.load', call('torch', 'load', P.text('x')), '"torch.load"'],
    ['torch.hub.load', call('torch.hub', 'load', P.text('x')), '"torch.hub.load"'],
    ['torch._utils._rebuild_tensor', call('torch._utils', '_rebuild_tensor'), '_rebuild_tensor"'],
    [
      'torch.storage._load_from_bytes',
      call('torch.storage', '_load_from_bytes'),
      '_load_from_bytes"',
    ],
    ['torch.jit._script', call('torch.jit', '_script.unpackage'), 'refused'],
    ['a storage class of another module', call('evil', 'FloatStorage'), '"evil.FloatStorage"'],
    [
      'a dotted path behind an allowed module',
      pickle(P.global('torch', 'FloatStorage.__class__'), P.none),
      '__class__"',
    ],
    [
      'OrderedDict’s subclass hook',
      pickle(P.global('collections', 'OrderedDict.__init_subclass__')),
      '__init_subclass__"',
    ],
    [
      'a constructor of Object.prototype',
      pickle(P.global('torch', 'constructor')),
      '"torch.constructor"',
    ],
    ['__proto__ as a global', pickle(P.global('torch', '__proto__')), '"torch.__proto__"'],
    ['a global with spaces', pickle(P.global('os ', 'system')), 'GLOBAL'],
    ['a global with unicode', pickle(P.global('ös', 'system')), 'GLOBAL'],
    ['a global without a name', pickle(P.global('os', '')), 'GLOBAL'],
    ['a global of 1,000 letters', pickle(P.global('a'.repeat(1000), 'b')), 'shorter name'],
    ['INST', pickle(P.mark, raw('ios\nsystem\n')), 'opcode INST at byte 3'],
    ['OBJ', pickle(P.mark, orderedDict, raw('o')), 'opcode OBJ'],
    ['STACK_GLOBAL', pickle(P.text('os'), P.text('system'), raw('\x93')), 'opcode STACK_GLOBAL'],
    [
      'STACK_GLOBAL with short strings',
      pickle(raw('\x8c\x02os\x8c\x06system\x93')),
      'opcode SHORT_BINUNICODE',
    ],
    ['NEWOBJ_EX', pickle(orderedDict, P.emptyTuple, dict, raw('\x92')), 'opcode NEWOBJ_EX'],
    ['EXT1', pickle(raw('\x82\x01')), 'opcode EXT1'],
    ['EXT4', pickle(raw('\x84\x01\0\0\0')), 'opcode EXT4'],
    ['PERSID', pickle(raw('Px\n')), 'opcode PERSID'],
    ['POP', pickle(P.none, P.none, raw('0')), 'opcode POP'],
    ['DUP', pickle(P.none, raw('2')), 'opcode DUP'],
    ['a text PUT', pickle(P.none, raw('p0\n')), 'opcode PUT'],
    ['a text INT', pickle(raw('I1\n')), 'opcode INT'],
    ['a text STRING', pickle(raw("S'x'\n")), 'opcode STRING'],
    ['BINSTRING', pickle(raw('T\x01\0\0\0x')), 'opcode BINSTRING'],
    ['LONG4', pickle(raw('\x8b\x01\0\0\0x')), 'opcode LONG4'],
    ['BINBYTES', pickle(raw('B\x01\0\0\0x')), 'opcode BINBYTES'],
    ['BYTEARRAY8', pickle(raw(`\x96${'\xff'.repeat(8)}`)), 'opcode BYTEARRAY8'],
    ['BINUNICODE8', pickle(raw(`\x8d${'\xff'.repeat(8)}`)), 'opcode BINUNICODE8'],
    ['NEXT_BUFFER', pickle(raw('\x97')), 'opcode NEXT_BUFFER'],
    ['EMPTY_SET', pickle(raw('\x8f')), 'opcode EMPTY_SET'],
    ['FRAME', pickle(raw(`\x95${'\0'.repeat(8)}`)), 'opcode FRAME'],
    ['a second PROTO', pickle(P.proto, P.none), 'opcode PROTO'],
    ['an opcode that does not exist', pickle(raw('\xff')), 'unknown opcode 0xff'],
    ['protocol 4', Buffer.concat([raw('\x80\x04'), P.none, P.stop]), 'PROTO 2'],
    ['protocol 0', raw('N.'), 'PROTO 2'],
    ['REDUCE of a string', pickle(P.text('os.system'), P.emptyTuple, P.reduce), 'REDUCE'],
    [
      'REDUCE of a storage class',
      pickle(P.global('torch', 'FloatStorage'), P.emptyTuple, P.reduce),
      'REDUCE of FloatStorage',
    ],
    ['REDUCE without a tuple', pickle(orderedDict, P.none, P.reduce), 'REDUCE'],
    [
      'OrderedDict with arguments',
      pickle(orderedDict, P.none, P.tuple1, P.reduce),
      'REDUCE of collections.OrderedDict',
    ],
    [
      'a parameter of no tensor',
      pickle(P.global('torch._utils', '_rebuild_parameter'), P.none, P.tuple1, P.reduce),
      '_rebuild_parameter',
    ],
    [
      'a tensor of no storage',
      pickle(P.global('torch._utils', '_rebuild_tensor_v2'), P.none, P.tuple1, P.reduce),
      '_rebuild_tensor_v2',
    ],
    ['NEWOBJ of OrderedDict', pickle(orderedDict, P.emptyTuple, P.newObj), 'NEWOBJ'],
    ['NEWOBJ of a dictionary', pickle(dict, P.emptyTuple, P.newObj), 'NEWOBJ'],
    [
      'a TorchScript class outside TorchScript',
      pickle(P.global('__torch__', 'Clip')),
      '"__torch__.Clip"',
    ],
    ['BUILD on a tensor', pickle(pickledTensor(), dict, P.build), 'BUILD'],
    ['BUILD on a list', pickle(P.emptyList, dict, P.build), 'BUILD'],
    ['BUILD with a tuple of slots', pickle(dict, P.none, dict, P.tuple2, P.build), 'BUILD'],
    ['BUILD on a global', pickle(orderedDict, dict, P.build), 'BUILD'],
    [
      'SETITEM on a list',
      pickle(P.emptyList, P.int(0), P.int(0), P.setItem),
      'SETITEM on something',
    ],
    [
      'SETITEM on a tensor',
      pickle(pickledTensor(), P.int(0), P.int(0), P.setItem),
      'SETITEM on something',
    ],
    [
      'SETITEM on a global',
      pickle(orderedDict, P.text('x'), P.none, P.setItem),
      'SETITEM on something',
    ],
    [
      'SETITEMS on a tuple',
      pickle(P.emptyTuple, P.mark, P.int(0), P.int(0), P.setItems),
      'SETITEMS on something',
    ],
    ['APPEND on a dictionary', pickle(dict, P.none, P.append), 'APPEND on something'],
    ['APPENDS on a string', pickle(P.text('x'), P.mark, P.none, P.appends), 'APPENDS on something'],
    ['a tensor as key', pickle(dict, pickledTensor(), P.none, P.setItem), 'dictionary key'],
    ['a dictionary as key', pickle(dict, dict, P.none, P.setItem), 'dictionary key'],
    ['a persistent id that is a string', pickle(P.text('storage'), P.persId), 'BINPERSID'],
    [
      'a persistent id of another kind',
      pickle(
        P.mark,
        P.text('module'),
        P.global('torch', 'FloatStorage'),
        P.text('0'),
        P.text('cpu'),
        P.int(6),
        P.tuple,
        P.persId,
      ),
      'BINPERSID',
    ],
    [
      'a persistent id of six parts',
      pickle(
        P.mark,
        P.text('storage'),
        P.global('torch', 'FloatStorage'),
        P.text('0'),
        P.text('cpu'),
        P.int(6),
        P.none,
        P.tuple,
        P.persId,
      ),
      'BINPERSID',
    ],
    ['a string of 2 MiB', pickle(P.text('x'.repeat(2 << 20))), 'at most 1048576 bytes'],
    ['a string of 4 GiB', pickle(raw('X\xff\xff\xff\xff')), 'at most 1048576 bytes'],
    ['an integer of 200 bytes', pickle(P.long('\x01'.repeat(200))), 'at most 8 bytes'],
    ['65 open MARKs', pickle(...Array(65).fill(P.mark)), 'open MARKs'],
    ['70,000 values on the stack', pickle(Buffer.alloc(70_000, 'N')), 'pickle’s stack'],
    ['300,000 operations', pickle(P.emptyList, Buffer.alloc(300_000, 'Na')), 'pickle operations'],
    ['memo number 2^32 - 1', pickle(P.none, raw('r\xff\xff\xff\xff')), 'memo numbers below 65536'],
    ['memo number 65,536', pickle(P.none, raw('r\0\0\x01\0')), 'memo numbers below 65536'],
  ];
  test.each(cases)('%s', (_name, bytes, message) => {
    const error = errorOf(() => read(bytes));
    expect(error.message.replace("pickle's", 'pickle’s').toLowerCase()).toContain(
      message.toLowerCase(),
    );
    expect(error.message).toMatch(/at byte \d+ of data\.pkl of x\.pth$|in data\.pkl of x\.pth$/);
    expect(error.code).toBe(REFUSED);
  });
});

describe('a pickle that contradicts itself is corrupt', () => {
  const cases: [name: string, bytes: Buffer][] = [
    ['nothing but the protocol', P.proto],
    ['no STOP', Buffer.concat([P.proto, P.none])],
    ['STOP without a value', pickle()],
    ['two values at STOP', pickle(P.none, P.none)],
    ['an open MARK at STOP', pickle(P.mark, P.none)],
    ['bytes behind STOP', Buffer.concat([pickle(P.none), P.none])],
    ['a string cut off', Buffer.concat([P.proto, raw('X\x09\0\0\0abc')])],
    ['a string that is no UTF-8', pickle(raw('X\x02\0\0\0\xff\xfe'))],
    ['a global cut off', Buffer.concat([P.proto, raw('ctorch')])],
    ['an integer cut off', Buffer.concat([P.proto, raw('J\0')])],
    ['a memo entry that was never put', pickle(P.get(3))],
    ['a PUT of nothing', pickle(P.put(0), P.none)],
    ['a TUPLE without MARK', pickle(P.none, P.tuple)],
    ['a TUPLE2 of one value', pickle(P.none, P.tuple2)],
    ['a REDUCE of nothing', pickle(P.reduce)],
    ['a BUILD of nothing', pickle(P.build)],
    ['a SETITEMS with an odd count', pickle(dict, P.mark, P.text('x'), P.setItems)],
    ['a SETITEM across a MARK', pickle(dict, P.mark, P.text('x'), P.setItem, P.tuple)],
  ];
  test.each(cases)('%s', (_name, bytes) => {
    expect(errorOf(() => read(bytes)).code).toBe(CORRUPT);
  });
});

describe('data comes out as data', () => {
  test('numbers, strings, tuples and lists', () => {
    const value = read(
      pickle(
        P.mark,
        P.int(-7),
        P.long('\0\0\0\0\0\x01'),
        P.long('\xff'),
        P.long(''),
        raw('G\x40\x04\0\0\0\0\0\0'),
        P.text('ä'),
        P.none,
        P.false,
        P.emptyList,
        P.tuple,
      ),
    );
    expect(value).toBeInstanceOf(PickleTuple);
    expect((value as PickleTuple).items).toEqual([
      -7,
      2 ** 40,
      -1,
      0,
      2.5,
      'ä',
      null,
      false,
      new PickleList(),
    ]);
  });

  test('an integer beyond 2^53 stays exact', () => {
    expect(read(pickle(P.long('\xff\xff\xff\xff\xff\xff\xff\x7f')))).toBe(2n ** 63n - 1n);
  });

  test('a name in a global is a marker that leads nowhere', () => {
    expect(read(pickle(orderedDict))).toEqual(new PickleGlobal('dict', 'collections.OrderedDict'));
  });

  test('memo entries are shared, so doubling thirty times makes thirty tuples', () => {
    const steps = Array.from({ length: 30 }, (_, i) =>
      Buffer.concat([P.get(i), P.get(i), P.tuple2, P.put(i + 1)]),
    );
    const all = pickle(P.mark, P.emptyTuple, P.put(0), ...steps, P.tuple);
    expect((read(all) as PickleTuple).items).toHaveLength(31);
  });

  test('a list may hold itself', () => {
    const list = read(pickle(P.emptyList, P.put(0), P.get(0), P.append)) as PickleList;
    expect(list.items[0]).toBe(list);
  });

  test('TorchScript objects are attributes without a class', () => {
    const bytes = pickle(
      P.global('__torch__.a.___torch_mangle_3', 'B'),
      P.emptyTuple,
      P.newObj,
      dict,
      P.text('x'),
      P.int(1),
      P.setItem,
      P.build,
    );
    expect((read(bytes, true) as ScriptObject).attributes).toEqual(new Map([['x', 1]]));
  });
});

describe('the typed attributes of scripted modules are data too', () => {
  const helper = (name: string, ...args: Buffer[]) => call('torch.jit._pickle', name, ...args);
  const list = Buffer.concat([P.emptyList, P.int(3), P.append]);

  test.each(['build_intlist', 'build_doublelist', 'build_boollist', 'build_tensorlist'])(
    '%s is its list',
    (name) => {
      expect((read(helper(name, list), true) as PickleList).items).toEqual([3]);
      expect(errorOf(() => read(helper(name, P.int(3)), true)).code).toBe(REFUSED);
      expect(errorOf(() => read(helper(name, list), false)).code).toBe(REFUSED);
    },
  );

  test('restore_type_tag is its first argument', () => {
    expect(read(helper('restore_type_tag', P.int(5), P.text('int')), true)).toBe(5);
    expect(errorOf(() => read(helper('restore_type_tag', P.int(5)), true)).code).toBe(REFUSED);
  });

  test('nothing else of that module is', () => {
    expect(errorOf(() => read(helper('build_tensor_from_id', P.int(5)), true)).code).toBe(REFUSED);
  });
});

describe('a tree that would unfold without end is refused', () => {
  const load = (stream: Buffer, script = false) => {
    const records = [
      { name: 'a/data.pkl', data: stream },
      { name: 'a/data/0', data: Buffer.alloc(24) },
      ...(script ? [{ name: 'a/constants.pkl', data: Buffer.alloc(1) }] : []),
    ];
    return codeOf(readCheckpoint(put(folder, 'tree.pth', torchZip(records))));
  };

  test('a dictionary that holds itself', async () => {
    expect(await load(pickle(dict, P.put(0), P.text('x'), P.get(0), P.setItem))).toBe(REFUSED);
  });

  test('twenty-five dictionaries that each hold the next one twice', async () => {
    const steps = Array.from({ length: 25 }, (_, i) =>
      Buffer.concat([
        P.emptyDict,
        P.mark,
        P.text('a'),
        P.get(i),
        P.text('b'),
        P.get(i),
        P.setItems,
        P.put(i + 1),
      ]),
    );
    const body = steps.map((step) => Buffer.concat([step, P.append]));
    const stream = pickle(
      dict,
      P.text('list'),
      P.emptyList,
      P.emptyDict,
      P.put(0),
      P.append,
      ...body,
      P.setItem,
      P.text('top'),
      P.get(25),
      P.setItem,
    );
    const started = performance.now();
    expect(await load(stream)).toBe(REFUSED);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test('a TorchScript module that is its own child', async () => {
    const stream = pickle(
      P.global('__torch__', 'M'),
      P.emptyTuple,
      P.newObj,
      P.put(0),
      dict,
      P.text('x'),
      P.get(0),
      P.setItem,
      P.build,
    );
    expect(await load(stream, true)).toBe(REFUSED);
  });

  test('100 dictionaries inside each other', async () => {
    const open = Array(100).fill(Buffer.concat([P.emptyDict, P.text('x')]));
    const close = Array(100).fill(P.setItem);
    expect(await load(pickle(...open, pickledTensor(), ...close))).toBe(REFUSED);
  });
});

test('an attack inside a whole file is refused before anything is built', async () => {
  const evil = pickledDict([
    ['w', pickledTensor()],
    ['x', Buffer.concat([P.global('os', 'system'), P.text('touch /tmp/x'), P.tuple1, P.reduce])],
  ]);
  const file = put(folder, 'evil.pth', torchFile(evil, [Buffer.alloc(24)]));
  await expect(readCheckpoint(file)).rejects.toMatchObject({
    code: REFUSED,
    message: expect.stringMatching(
      /Refused pickle GLOBAL "os\.system" at byte \d+ of data\.pkl of .*evil\.pth$/,
    ),
    help: expect.stringContaining('safetensors'),
  });
});
