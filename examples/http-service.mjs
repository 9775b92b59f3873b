// Inspection as an HTTP service: the model lives in a worker thread, requests carry the picture.
//
//   node examples/http-service.mjs [PORT [BACKBONE ADAPTER]]      without weights: the starter model
//   curl --data-binary @nut.jpg 'http://127.0.0.1:8080/detect?class=metal%20nut'
import { once } from 'node:events';
import { createServer } from 'node:http';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { AcdClip } from 'acd-clip-native';

const MAX_BODY_BYTES = 20 * 1024 * 1024;

/** HTTP status of the package's error codes; anything else is ours: 500. */
const STATUS = {
  ERR_ACD_INVALID_ARG: 400,
  ERR_ACD_PROMPT_TOO_LONG: 400,
  ERR_ACD_IMAGE_FORMAT: 422,
  ERR_ACD_IMAGE_LIMIT: 413,
  ERR_ACD_UNSUPPORTED: 422,
  ERR_ACD_QUEUE_FULL: 503,
};

if (isMainThread) await serve();
else await work();

/** The worker: loads once, answers { id, image, className }. */
async function work() {
  const model = await AcdClip.load(workerData);
  parentPort.postMessage('ready');
  parentPort.on('message', async ({ id, image, className }) => {
    try {
      const { score, parts, timing } = await model.detect(image, { className, map: 'none' });
      parentPort.postMessage({ id, body: { score, parts, timing } });
    } catch ({ code, message, help }) {
      parentPort.postMessage({ id, status: STATUS[code] ?? 500, body: { code, message, help } });
    }
  });
}

async function serve() {
  const [port = '8080', backbone, adapter] = process.argv.slice(2);
  const worker = new Worker(new URL(import.meta.url), { workerData: { backbone, adapter } });
  await once(worker, 'message');
  const waiting = new Map();
  let lastId = 0;
  worker.on('message', ({ id, status = 200, body }) => {
    waiting.get(id)?.(status, body);
    waiting.delete(id);
  });

  // Without its worker the service can answer nothing: say so to those who wait, and end.
  worker.on('exit', () => {
    for (const answer of waiting.values()) answer(503, { message: 'the model has stopped' });
    process.exit(1);
  });

  async function handle(request, answer) {
    const url = new URL(request.url, 'http://localhost');
    const className = url.searchParams.get('class');
    if (request.method !== 'POST' || url.pathname !== '/detect' || !className) {
      return answer(404, { message: 'POST a picture to /detect?class=NAME' });
    }
    const chunks = [];
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES)
        return answer(413, { message: `at most ${MAX_BODY_BYTES} bytes` });
      chunks.push(chunk);
    }
    const id = ++lastId;
    waiting.set(id, answer);
    worker.postMessage({ id, image: Buffer.concat(chunks), className });
  }

  const server = createServer((request, response) => {
    const answer = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body)}\n`);
    };
    // A malformed address or an upload that breaks off ends this request, not the service.
    handle(request, answer).catch(() => answer(400, { message: 'the request cannot be read' }));
  });
  server.listen(Number(port), '127.0.0.1', () =>
    console.log(`listening on http://127.0.0.1:${port}`),
  );
  process.once('SIGTERM', () => server.close(() => process.exit(0)));
}
