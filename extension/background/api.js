/** The server's JSON API, reduced to what a caller can do about an answer. */
import { device, tokenDied } from './device.js';

/**
 * `done`: it did it. `refused`: it never will. `later`: ask again; `stop` when nothing else can get through now either,
 * for `wait` seconds if it said so. `unpaired`: it does not know this browser.
 * @typedef {{is: 'done', status: number, data: any}
 *   | {is: 'refused', status: number, code: string, detail: string}
 *   | {is: 'later', stop: boolean, wait: number}
 *   | {is: 'unpaired'}} Answer
 */

const TIMEOUT_MS = 10_000;
const TRY_AGAIN = [408, 425, 429];
const LONGEST_WAIT_S = 3600;

/** @type {Answer} */
const NO_ANSWER = { is: 'later', stop: true, wait: 0 };

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<Answer>}
 */
export async function callAsUser(method, path, body) {
  const { server, token } = await device();
  if (!token) return { is: 'unpaired' };
  const answer = await call(server, method, path, body, { authorization: `Bearer ${token}` });
  const now = await device();
  if (now.token !== token || now.server !== server) return NO_ANSWER; // what was left meanwhile has no say any more
  if (answer.is !== 'refused' || answer.status !== 401) return answer;
  await tokenDied();
  return { is: 'unpaired' };
}

/**
 * @param {string} server
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<Answer>}
 */
export async function call(server, method, path, body, headers = {}) {
  try {
    const response = await fetch(`${server}/api/v1${path}`, {
      method,
      headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
      credentials: 'omit',
      cache: 'no-store',
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return await understood(response);
  } catch {
    return NO_ANSWER; // no network, no server, not in time, cut off, or not JSON
  }
}

/**
 * Only an answer in the API's own words is final: login pages of hotels and proxies answer 200 and 403, too.
 * @param {Response} response
 * @returns {Promise<Answer>}
 */
async function understood(response) {
  const { status } = response;
  if (status === 204) return { is: 'done', status, data: null };
  if (status >= 500 || TRY_AGAIN.includes(status)) return later(response);
  const data = await response.json();
  if (response.ok) return { is: 'done', status, data };
  if (typeof data?.code !== 'string') return NO_ANSWER;
  return { is: 'refused', status, code: data.code, detail: String(data.detail ?? data.title ?? '') };
}

/**
 * A server that stumbles over one click may well take the next; one that asks for patience gets it.
 * @param {Response} response
 * @returns {Answer}
 */
function later({ status, headers }) {
  const wait = Math.min(Number(headers.get('retry-after')) || (status === 429 ? 60 : 0), LONGEST_WAIT_S);
  return { is: 'later', stop: wait > 0, wait };
}
