// How far the work is: a bar on a terminal, now and then a line elsewhere.
import { SingleBar } from 'cli-progress';
import { type Io, note, printable } from './io';

export interface Progress {
  update(done: number, total: number | undefined): void;
  /** A line for people that does not run into the bar. */
  say(line: string): void;
  stop(): void;
}

const LINE_INTERVAL_MS = 5000;

/** `verb`: 'Loading weights'. `show`: how a count is written. */
export function progressOn(
  io: Io,
  verb: string,
  o: { quiet: boolean; show?: (n: number) => string },
): Progress {
  const show = o.show ?? String;
  if (o.quiet) return { update: () => {}, say: (line) => note(io, line), stop: () => {} };
  return io.stderr.isTTY === true ? bar(io, verb, show) : lines(io, verb, show);
}

function lines(io: Io, verb: string, show: (n: number) => string): Progress {
  let last = performance.now();
  return {
    update(done, total) {
      if (performance.now() - last < LINE_INTERVAL_MS) return;
      last = performance.now();
      note(io, `${verb}: ${show(done)}${total === undefined ? '' : ` of ${show(total)}`}`);
    },
    say: (line) => note(io, line),
    stop: () => {},
  };
}

function bar(io: Io, verb: string, show: (n: number) => string): Progress {
  const single = new SingleBar({
    stream: io.stderr,
    format: (_options, p, payload) => {
      const count = payload.known ? `${show(p.value)} of ${show(p.total)}` : show(p.value);
      const filled = Math.round(p.progress * BAR_WIDTH);
      const drawn = payload.known
        ? ` [${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}]`
        : '';
      return `${verb}${drawn} ${count}`;
    },
    clearOnComplete: true,
    // Another line may have been written over the bar.
    forceRedraw: true,
    // Its own handler for SIGINT would race ours.
    gracefulExit: false,
  });
  let running = false;
  return {
    update(done, total) {
      const known = total !== undefined;
      if (!running) single.start(total ?? done, done, { known });
      else single.setTotal(total ?? done);
      running = true;
      single.update(done, { known });
    },
    say(line) {
      io.stderr.write(`${running ? '\r\u001b[K' : ''}${printable(line)}\n`);
    },
    stop() {
      if (running) single.stop();
      running = false;
    },
  };
}

const BAR_WIDTH = 30;
