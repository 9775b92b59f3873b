// Results as rows: a table for people; JSON, NDJSON and CSV for programs.
import type { Detection, Region } from '../model/types';
import { printable } from './io';
import type { Picture } from './picture';

export const FORMATS = ['table', 'json', 'ndjson', 'csv'] as const;
export type Format = (typeof FORMATS)[number];

/** One picture's outcome, and the JSON that is written of it. */
export interface Row {
  path: string;
  id?: Picture['id'];
  class?: string;
  score?: number;
  parts?: Detection['parts'];
  isAnomalous?: boolean;
  regions?: Region[];
  image?: Detection['image'];
  timing?: Detection['timing'];
  /** Files that were written. */
  overlay?: string;
  heatmap?: string;
  error?: { code: string; message: string; help?: string };
}

/** Text before the rows, of every row, and after them. */
export interface RowFormatter {
  start(): string;
  row(row: Row): string;
  end(): string;
}

/** `names`: the paths that will come, where they are known; a table fits its first column to them. */
export function formatter(format: Format, names: readonly string[]): RowFormatter {
  switch (format) {
    case 'json':
      return jsonFormatter();
    case 'ndjson':
      return { start: () => '', row: (row) => `${JSON.stringify(row)}\n`, end: () => '' };
    case 'csv':
      return { start: () => csvLine(COLUMNS.map(([name]) => name)), row: csvRow, end: () => '' };
    case 'table':
      return tableFormatter(names);
  }
}

function jsonFormatter(): RowFormatter {
  let rows = 0;
  return {
    start: () => '[',
    row: (row) => `${rows++ === 0 ? '\n' : ',\n'}${JSON.stringify(row)}`,
    end: () => (rows === 0 ? ']\n' : '\n]\n'),
  };
}

// ---------------------------------------------------------------------- CSV, RFC 4180

const COLUMNS: readonly (readonly [string, (row: Row) => string | number | boolean | undefined])[] =
  [
    ['path', (r) => r.path],
    ['id', (r) => r.id],
    ['class', (r) => r.class],
    ['score', (r) => r.score],
    ['cls', (r) => r.parts?.cls],
    ['map_max', (r) => r.parts?.mapMax],
    ['anomalous', (r) => r.isAnomalous],
    ['regions', (r) => r.regions?.length],
    ['boxes', (r) => r.regions?.map(boxText).join(';')],
    ['width', (r) => r.image?.width],
    ['height', (r) => r.image?.height],
    ['overlay', (r) => r.overlay],
    ['heatmap', (r) => r.heatmap],
    ['error_code', (r) => r.error?.code],
    ['error', (r) => r.error?.message],
  ];

function boxText({ box }: Region): string {
  return `${box.x} ${box.y} ${box.width} ${box.height}`;
}

function csvRow(row: Row): string {
  return csvLine(COLUMNS.map(([, value]) => String(value(row) ?? '')));
}

function csvLine(fields: readonly string[]): string {
  return `${fields.map(csvField).join(',')}\r\n`;
}

function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// ---------------------------------------------------------------------- table

const TABLE_WIDTH = 80;
const NUMBERS = ['SCORE', 'CLASS', 'MAP', 'VERDICT', 'REGIONS'];
const WIDTHS = [6, 6, 6, 7, 7];
const GAP = '  ';
const NAME_LIMIT = TABLE_WIDTH - WIDTHS.reduce((sum, w) => sum + GAP.length + w, 0);

function tableFormatter(names: readonly string[]): RowFormatter {
  const longest = Math.max('PICTURE'.length, ...names.map((name) => name.length));
  const nameWidth = names.length === 0 ? NAME_LIMIT : Math.min(NAME_LIMIT, longest);
  const line = (name: string, cells: readonly string[]) =>
    `${[toWidth(printable(name), nameWidth), ...cells.map((c, i) => c.padStart(WIDTHS[i]!))].join(GAP)}\n`;
  return {
    start: () => line('PICTURE', NUMBERS),
    row: (row) => line(row.path, tableCells(row)),
    end: () => '',
  };
}

function tableCells(row: Row): string[] {
  const numbers = [row.score, row.parts?.cls, row.parts?.mapMax].map((v) => v?.toFixed(4) ?? '-');
  return [...numbers, verdictOf(row), String(row.regions?.length ?? '-')];
}

function verdictOf(row: Row): string {
  if (row.error !== undefined) return 'error';
  if (row.isAnomalous === undefined) return '-';
  return row.isAnomalous ? 'ANOMALY' : 'ok';
}

/** Exactly `width` characters; of a longer name the end, which tells files apart. */
function toWidth(name: string, width: number): string {
  return name.length <= width ? name.padEnd(width) : `...${name.slice(name.length - width + 3)}`;
}
