// The hub's REST, as any operator's tool speaks it, and its stream of events.

import { session } from './session.js';

const VERSION = 'api-version=2021-04-12';
/** The hub says something at least every 15 s; a stream that is silent for longer is dead. */
const SILENCE = 40_000;

/** What the hub refused, in its own words. */
export class Failure extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let onUnauthorized = () => {};
/** Who is told when the hub does not take the session any more. */
export function whenUnauthorized(listener) { onUnauthorized = listener; }

async function request(method, path, options = {}) {
  const kept = session();
  if (!kept) { onUnauthorized(); throw new Failure(401, 'Unauthorized', 'You are not signed in.'); }
  const url = path.startsWith('/localhub/') ? path : `${path}${path.includes('?') ? '&' : '?'}${VERSION}`;
  let response;
  try {
    response = await fetch(url, {
      method,
      cache: 'no-store',
      credentials: 'omit',
      signal: options.signal,
      headers: { authorization: kept.token, ...options.headers },
      body: options.body === undefined ? undefined : options.raw ? options.body : JSON.stringify(options.body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure(0, 'Unreachable', 'The hub cannot be reached.');
  }
  if (response.ok) return response;
  const failure = await refusal(response);
  if (response.status === 401) onUnauthorized(failure);
  throw failure;
}

async function refusal(response) {
  const code = response.headers.get('iothub-errorcode') ?? '';
  const text = await response.text();
  let message = text;
  try {
    message = JSON.parse(text).Message ?? text;
    // Methods put JSON into the message; everything else `ErrorCode:Name;words`.
    message = message.startsWith('{') ? JSON.parse(message).message : message.replace(/^ErrorCode:[^;]*;\s*/, '');
  } catch { /* the text as it is */ }
  return new Failure(response.status, code, message || `The hub answered ${response.status}.`);
}

/** A request; gives the JSON of the answer, or null when there is none. */
export async function call(method, path, options) {
  const response = await request(method, path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** All pages of a query, given to `each` as they come. */
export async function query(text, each, signal) {
  let more = null;
  do {
    const headers = { 'x-ms-max-item-count': '1000', ...(more ? { 'x-ms-continuation': more } : {}) };
    const response = await request('POST', '/devices/query', { body: { query: text }, headers, signal });
    each(await response.json());
    more = response.headers.get('x-ms-continuation');
  } while (more);
}

export const path = (id) => encodeURIComponent(id);
/** A text as the query language writes it. */
export const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

/**
 * Listens to events until `signal`; connects again when the stream ends. `opened` runs each time it listens anew, and
 * is the place to read the state: from then on every change comes as an event. `closed` runs when it does not listen.
 */
export async function listen(address, { signal, opened, event, closed }) {
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 10_000)) {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener('abort', stop);
    try {
      const response = await request('GET', address, { signal: attempt.signal });
      wait = 500;
      opened?.();
      await read(response.body, event, stop);
    } catch (error) {
      if (error.status === 401 || error.status === 400) return;
    } finally {
      signal.removeEventListener('abort', stop);
    }
    if (signal.aborted) return;
    closed?.();
    await new Promise((resolve) => { setTimeout(resolve, wait); });
  }
}

async function read(body, event, stop) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const silence = setTimeout(stop, SILENCE);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    text += value;
    const blocks = text.split('\n\n');
    text = blocks.pop();
    for (const block of blocks) {
      const lines = block.split('\n');
      const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n');
      const name = lines.find((line) => line.startsWith('event:'))?.slice(6).trim();
      if (data) event(name, JSON.parse(data));
    }
  }
}
