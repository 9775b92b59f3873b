// The evaluation as a Markdown table.

const METRICS = [
  ['pixel', 'auroc', 'pixel AUROC'],
  ['pixel', 'ap', 'pixel AP'],
  ['image', 'auroc', 'image AUROC'],
  ['image', 'ap', 'image AP'],
];

/** @param report what evaluate.mjs writes as JSON */
export function markdown(report) {
  const heads = ['set', 'method', ...METRICS.map(([, , title]) => title)];
  const rows = report.sets.flatMap((set) => [
    ...rowsOf(set.title, set.results),
    ...(set.classMean ? rowsOf('the same, mean over classes', set.classMean) : []),
  ]);
  if (report.realMean) rows.push(...rowsOf('mean over the real sets', report.realMean));
  const lines = [heads, heads.map((_, i) => (i < 2 ? '---' : '---:')), ...rows];
  return `${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n\n${notes(report)}\n`;
}

const BEGIN = '<!-- evaluation: written by scripts/starter/evaluate.mjs -->';
const END = '<!-- end of evaluation -->';

/**
 * `text` with the table in place of what is between its two marks.
 *
 * @throws Error when it has no such marks
 */
export function withTable(text, table) {
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`expected the lines ${BEGIN} and ${END}`);
  return `${text.slice(0, from + BEGIN.length)}\n\n${table}\n${text.slice(to)}`;
}

/** One row a method; the set is named in the first. */
function rowsOf(title, results) {
  return Object.entries(results).map(([method, result], i) => [
    i === 0 ? title : '',
    method,
    ...METRICS.map(([part, metric]) => format(result[part]?.[metric])),
  ]);
}

function format(value) {
  return value === null || value === undefined ? '' : value.toFixed(3);
}

function notes({ imageSize, generated, sets }) {
  const lines = [
    `Maps of ${imageSize} x ${imageSize}, masks resized to it; pixels of a set are pooled. Empty: undefined, because the set shows one kind alone.`,
  ];
  const shares = sets.map((set) => `${set.name} ${set.pixelShare.toFixed(3)}`);
  lines.push(`Share of abnormal pixels, the pixel AP of a coin: ${shares.join(', ')}.`);
  if (generated) {
    lines.push(
      `Generated: ${generated.count} pictures of ${generated.classes.length} classes kept from training (${generated.classes.join(', ')}), seeds ${generated.seeds.join(', ')}.`,
    );
  }
  return lines.join('\n');
}
