// JSON without the liberties of JSON.parse: a repeated key is an error (two readers would disagree
// about it), depth and size are bounded, objects become Maps, errors carry a position.
import type { AcdClipError } from '../errors';
import { corrupt, refused } from './failures';
import { LIMITS } from './limits';

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = Map<string, JsonValue>;

/** Parses UTF-8 `bytes`; `base` is their offset in `file`, for messages. */
export function parseStrictJson(file: string, bytes: Buffer, base: number): JsonValue {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw corrupt(file, 'Expected UTF-8 text for JSON', base);
  }
  return new Parser(file, text, base).document();
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORD = /true|false|null/y;

class Parser {
  private at = 0;
  private values = 0;

  constructor(
    private readonly file: string,
    private readonly text: string,
    private readonly base: number,
  ) {}

  document(): JsonValue {
    const value = this.value(0);
    this.match(SPACE);
    if (this.at !== this.text.length) throw this.unexpected('the end of the JSON text');
    return value;
  }

  private value(depth: number): JsonValue {
    if (depth > LIMITS.jsonDepth) {
      throw refused(
        this.file,
        `Expected at most ${LIMITS.jsonDepth} levels of JSON`,
        this.position(),
      );
    }
    this.values++;
    if (this.values > LIMITS.jsonValues) {
      throw refused(
        this.file,
        `Expected at most ${LIMITS.jsonValues} JSON values`,
        this.position(),
      );
    }
    this.match(SPACE);
    const c = this.text[this.at];
    if (c === '{') return this.object(depth);
    if (c === '[') return this.array(depth);
    if (c === '"') return this.string();
    const word = this.match(WORD);
    if (word !== '') return word === 'null' ? null : word === 'true';
    const number = this.match(NUMBER);
    if (number === '') throw this.unexpected('a JSON value');
    return Number(number);
  }

  private object(depth: number): JsonObject {
    const object: JsonObject = new Map();
    this.list('}', () => {
      const start = this.position();
      const key = this.string();
      if (object.has(key)) {
        throw corrupt(this.file, `Expected each key once but found ${quote(key)} again`, start);
      }
      this.match(SPACE);
      if (this.text[this.at] !== ':') throw this.unexpected('":"');
      this.at++;
      object.set(key, this.value(depth + 1));
    });
    return object;
  }

  private array(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.list(']', () => {
      items.push(this.value(depth + 1));
    });
    return items;
  }

  private list(close: string, item: () => void): void {
    this.at++;
    this.match(SPACE);
    if (this.text[this.at] === close) {
      this.at++;
      return;
    }
    for (;;) {
      this.match(SPACE);
      item();
      this.match(SPACE);
      const c = this.text[this.at];
      if (c !== ',' && c !== close) throw this.unexpected(`"," or "${close}"`);
      this.at++;
      if (c === close) return;
    }
  }

  private string(): string {
    if (this.text[this.at] !== '"') throw this.unexpected('a string');
    let end = this.at;
    do {
      end = this.text.indexOf('"', end + 1);
      if (end < 0) throw this.unexpected('the closing quote of a string');
    } while (this.isEscaped(end));
    const literal = this.text.slice(this.at, end + 1);
    try {
      const value = JSON.parse(literal) as string;
      this.at = end + 1;
      return value;
    } catch {
      throw corrupt(
        this.file,
        `Expected a JSON string but found ${quote(literal)}`,
        this.position(),
      );
    }
  }

  /** Whether the character at `index` follows an odd number of backslashes. */
  private isEscaped(index: number): boolean {
    let first = index;
    while (this.text[first - 1] === '\\') first--;
    return (index - first) % 2 === 1;
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? '';
    this.at += found.length;
    return found;
  }

  /** Exact for the ASCII that headers are made of. */
  private position(): number {
    return this.base + this.at;
  }

  private unexpected(expected: string): AcdClipError {
    const c = this.text[this.at];
    const got = c === undefined ? 'the end' : quote(c);
    return corrupt(this.file, `Expected ${expected} but found ${got}`, this.position());
  }
}

/** A name from a file, shortened and escaped for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
