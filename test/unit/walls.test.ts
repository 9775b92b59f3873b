// The walls between the rooms, checked by reading the sources.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { ERROR_CODES } from '../../lib/errors';

const ROOT = path.join(__dirname, '../..');

function files(folder: string, pattern: RegExp): string[] {
  return (readdirSync(path.join(ROOT, folder), { recursive: true }) as string[])
    .map((f) => path.posix.join(folder, f))
    .filter((f) => pattern.test(f))
    .sort();
}
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

const CPP = files('native', /\.(h|cc|cu|cuh)$/);
const LIB = files('lib', /\.m?ts$/);
const SCRIPTS = files('scripts', /\.[cm]?js$/);

/** "file:line: text" of every line that matches, outside the folders that may. */
function offenders(all: string[], pattern: RegExp, allowed: (file: string) => boolean): string[] {
  return all
    .filter((f) => !allowed(f))
    .flatMap((f) =>
      read(f)
        .split('\n')
        .map((line, i) => ({ line, at: `${f}:${i + 1}` }))
        .filter(({ line }) => pattern.test(line))
        .map(({ line, at }) => `${at}: ${line.trim()}`),
    );
}
const within =
  (...folders: string[]) =>
  (file: string) =>
    folders.some((f) => file === f || file.startsWith(`${f}/`));
const nowhere = () => false;

test('there is something to check', () => {
  expect(CPP.length).toBeGreaterThan(60);
  expect(LIB.length).toBeGreaterThan(40);
  // The search itself finds what it looks for.
  expect(offenders(CPP, /#include <napi\.h>/, nowhere).length).toBeGreaterThan(0);
});

describe('JavaScript | C++', () => {
  test('only native/addon includes napi.h', () => {
    expect(offenders(CPP, /napi\.h|node_api\.h|\bNapi::/, within('native/addon'))).toEqual([]);
  });

  test('only lib/binding finds and loads the .node file', () => {
    const loads = /node-gyp-build|\.node['"`]|process\.dlopen|NativeBinding\b/;
    expect(offenders(LIB, loads, within('lib/binding'))).toEqual([]);
  });

  test('only lib/binding imports values of the contract; others take its types alone', () => {
    const values = /^import (?!type\b).*typings\/native|require\(.*typings\/native/;
    expect(offenders(LIB, values, nowhere)).toEqual([]);
  });

  test('every exception of an entry from JavaScript meets the catch-all', () => {
    // A Function::New whose body neither calls entry_point nor only sets a flag.
    const addon = files('native/addon', /\.cc$/).map(read).join('\n');
    const functions = addon.split('Napi::Function::New(').slice(1);
    expect(functions.length).toBeGreaterThan(3);
    for (const body of functions) {
      expect(body.slice(0, 400)).toMatch(/entry_point\(|loading->cancelled = true/);
    }
  });
});

describe('host | device', () => {
  const rooms = (file: string) =>
    within('native/backend/cuda')(file) || /^native\/ops\/\w+\/\w+\.cuh?$/.test(file);

  test('CUDA headers stay in native/backend/cuda and in the kernels', () => {
    expect(offenders(CPP, /#include\s*[<"](cuda|cublas|cudnn|nvrtc|nccl)/, rooms)).toEqual([]);
  });

  test('oneDNN stays in native/backend/cpu, but for the version that addon.cc reports', () => {
    const dnnl = /#include\s*[<"].*dnnl|\bdnnl::/;
    const allowed = (f: string) =>
      within('native/backend/cpu', 'native/addon/addon.cc')(f) || f.endsWith('_cpu.cc');
    expect(offenders(CPP, dnnl, allowed)).toEqual([]);
  });
});

describe('untrusted bytes | typed data', () => {
  test('native code parses no format and maps no file', () => {
    const parsers = /\b(mmap|png_|jpeg_|inflate|json|pickle|zip_)\w*\s*\(/i;
    expect(offenders(CPP, parsers, nowhere)).toEqual([]);
  });

  test('only the weight reader, the machine’s description and a cache open files', () => {
    const opens = /\b(fopen|::open|openat|ifstream|ofstream)\s*\(/;
    const allowed = within(
      'native/model/weight_reader.cc',
      'native/addon/addon.cc',
      'native/core/thread_team.cc',
      'native/backend/cpu/isa.cc',
      'native/backend/cuda/host/algorithm_cache.cc',
    );
    expect(offenders(CPP, opens, allowed)).toEqual([]);
  });
});

describe('one operation, one name', () => {
  const ops = readdirSync(path.join(ROOT, 'native/ops'));

  test.each(ops)('%s has a contract, a kernel, a reference and a test', (op) => {
    for (const file of [`${op}.h`, `${op}_cpu.cc`, `${op}_ref.cc`, `${op}_test.cc`]) {
      expect([file, existsSync(path.join(ROOT, 'native/ops', op, file))]).toEqual([file, true]);
    }
  });

  test.each(ops)('%s says in its header what it computes', (op) => {
    expect(read(`native/ops/${op}/${op}.h`)).toMatch(/^\/\/ .{10,}/);
  });

  test('references are linked into tests only', () => {
    const cmake = read('CMakeLists.txt');
    const sources = /file\(GLOB ACD_(CORE|ISA|ADDON)_SOURCES[^)]*\)/g;
    for (const [glob] of cmake.matchAll(sources)) expect(glob).not.toMatch(/_ref|_test/);
    expect(offenders(CPP, /#include ".*_ref\.(h|cc)"/, nowhere)).toEqual([]);
  });
});

describe('the ladder', () => {
  /** Rungs of lib from the top; a file may import its own rung and those below. */
  const RUNGS: RegExp[] = [
    /^lib\/(cli|serve)\//,
    /^lib\/(index|acd-clip|runtime)\.m?ts$/,
    /^lib\/(model|train|evaluate|report|datasets|metrics)\//,
    /^lib\/(image|text|checkpoint)\//,
    /^lib\/binding\//,
    /^lib\/(errors|validate|in-order)\.ts$/,
  ];
  const rung = (file: string) => RUNGS.findIndex((r) => r.test(file));

  test('every file of lib stands on a rung', () => {
    expect(LIB.filter((f) => rung(f) < 0)).toEqual([]);
  });

  test('nothing imports what stands higher', () => {
    const wrong: string[] = [];
    for (const file of LIB.filter((f) => f.endsWith('.ts'))) {
      for (const [, target] of read(file).matchAll(/from '(\.[^']*)'|require\('(\.[^']*)'\)/g)) {
        if (target === undefined) continue;
        const base = path.posix.join(path.posix.dirname(file), target);
        const to = [`${base}.ts`, `${base}/index.ts`].find((f) => existsSync(path.join(ROOT, f)));
        if (to && rung(to) < rung(file)) wrong.push(`${file} imports ${to}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('image, text and checkpoint do not know each other', () => {
    for (const room of ['image', 'text', 'checkpoint']) {
      const others = ['image', 'text', 'checkpoint'].filter((r) => r !== room);
      const pattern = new RegExp(`from '\\.\\./(${others.join('|')})`);
      expect(offenders(files(`lib/${room}`, /\.ts$/), pattern, nowhere)).toEqual([]);
    }
  });

  test('native rooms include only what lies below them', () => {
    const order = ['addon', 'infer', 'model', 'backend', 'ops', 'core'];
    const wrong: string[] = [];
    for (const file of CPP) {
      const from = order.indexOf(file.split('/')[1]!);
      for (const [, to] of read(file).matchAll(/#include "(\w+)\//g)) {
        const rank = order.indexOf(to!);
        // A kernel knows the backend it is written for, and a test's harness everything.
        const kernel = from === order.indexOf('ops') && to === 'backend';
        if (rank >= 0 && rank < from && !kernel) wrong.push(`${file} includes ${to}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('failures', () => {
  test('every code of native/core/status.cc is one of lib/errors.ts', () => {
    const codes = read('native/core/status.cc').match(/ERR_ACD_\w+/g)!;
    expect(codes.length).toBeGreaterThan(10);
    expect(codes.filter((c) => !(ERROR_CODES as readonly string[]).includes(c))).toEqual([]);
  });

  test('every code that lib throws exists, and lib throws no bare Error', () => {
    // lib/text throws them to itself, as causes.
    const used = LIB.flatMap((f) => [...read(f).matchAll(/['"](ERR_ACD_\w+)['"]/g)]).map(
      (m) => m[1]!,
    );
    expect(used.filter((c) => !(ERROR_CODES as readonly string[]).includes(c))).toEqual([]);
    expect(
      offenders(LIB, /throw new (Error|TypeError|RangeError)\(/, within('lib/cli', 'lib/text')),
    ).toEqual([]);
  });

  test('native code never ends the process', () => {
    expect(offenders(CPP, /\b(abort|exit|_exit|terminate|assert)\s*\(/, nowhere)).toEqual([]);
  });
});

describe('manners', () => {
  test('values of other realms are recognised: lib uses no instanceof for arrays of bytes', () => {
    const check = /instanceof (Float32Array|Uint8Array|Int32Array|ArrayBuffer|Buffer|AbortSignal)/;
    expect(offenders(LIB, check, nowhere)).toEqual([]);
  });

  test('only lib/cli writes to the terminal', () => {
    // Not in the examples of comments.
    const writes = /^(?!\s*(\*|\/\/)).*(process\.(stdout|stderr)|\bconsole\.\w+\()/;
    expect(offenders(LIB, writes, within('lib/cli'))).toEqual([]);
    expect(
      offenders(CPP, /std::cout|std::cerr|\bf?printf\(/, (f) => f.endsWith('_test.cc')),
    ).toEqual([]);
  });

  test('nothing is left for later', () => {
    const later = /\b(TODO|FIXME|XXX|HACK)\b/;
    expect(offenders([...CPP, ...LIB, ...SCRIPTS], later, nowhere)).toEqual([]);
  });
});
