/** A server that keeps the rules of the API, and misbehaves as networks and servers do. */
import { createHash } from 'node:crypto';

/** @typedef {'none' | 'down' | 'lost' | 'error' | 'hang' | 'busy' | 'portal' | 'proxy'} Trouble */

export class FakeServer {
  /** @type {Map<string, any>} clicks by URL */
  clicks = new Map();
  /** @type {{method: string, path: string, body: any}[]} requests that arrived */
  log = [];
  tokens = new Set(['flt_alice']);
  email = 'alice@example.org';
  period = '2026-11';
  /** @type {Trouble} */
  trouble = 'none';
  /** @type {Map<string, {status: number, code: string}>} by URL: never accepted */
  refuses = new Map();
  /** @type {Set<string>} by URL: stumbled over with a 500 */
  stumbles = new Set();
  /** @type {Set<string>} sites of nobody that now belong to somebody */
  joined = new Set();
  connectUrl = 'https://flattr.test/connect';
  calls = 0;
  /** What the reader decided: budget, and what becomes of an empty month. */
  wishes = {};
  /** Answers are on their way until this is done. */
  held = Promise.resolve();
  pairing = { challenge: '', device: '', approved: false, spent: false };

  /** Stands in for the browser's `fetch`. */
  fetch = async (/** @type {string} */ url, /** @type {RequestInit} */ init = {}) => {
    this.calls += 1;
    await new Promise((resolve) => setImmediate(resolve));
    const { trouble } = this;
    if (trouble === 'down') throw new TypeError('Failed to fetch');
    if (trouble === 'hang') return hang(init.signal);
    if (trouble === 'error') return problem(500, 'internal');
    if (trouble === 'portal') return new Response('<h1>Hotel Astoria</h1>', { status: 200 });
    if (trouble === 'proxy') return Response.json({ message: 'Forbidden' }, { status: 403 });
    if (trouble === 'busy') return problem(429, 'rate_limited', { 'retry-after': '120' });
    const answer = this.#answer(new URL(url), init);
    await this.held;
    if (trouble === 'lost') throw new TypeError('NetworkError when attempting to fetch resource.');
    return answer;
  };

  /** Hold answers back. @returns {() => void} lets them go */
  hold() {
    /** @type {() => void} */
    let release = () => undefined;
    this.held = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  /** What arrived that changes something, in order: `POST`, `DELETE`. */
  get changes() {
    return this.log
      .filter(({ path, method }) => path.startsWith('/clicks') && method !== 'GET')
      .map(({ method }) => method);
  }

  #answer(/** @type {URL} */ url, /** @type {RequestInit} */ { method = 'GET', body, headers }) {
    const path = url.pathname.replace('/api/v1', '');
    const json = body ? JSON.parse(String(body)) : null;
    this.log.push({ method, path, body: json });
    if (path.startsWith('/pairings')) return this.#pair(path, json);
    const token = new Headers(headers).get('authorization')?.replace('Bearer ', '') ?? '';
    if (!this.tokens.has(token)) return problem(401, 'unauthorized');
    if (path === '/token') this.tokens.delete(token);
    if (method === 'PATCH') Object.assign(this.wishes, json);
    if (path === '/me') return Response.json(this.#me());
    if (path === '/pages') return Response.json(this.#page(url.searchParams.get('url') ?? ''));
    if (method === 'POST') return this.#flattr(json);
    if (method === 'GET') return Response.json({ period: this.period, clicks: this.#list() });
    return this.#undo(Number(path.split('/')[2]), url.searchParams.get('period'));
  }

  #flattr(/** @type {any} */ { url, title, clicked_at }) {
    const refusal = this.refuses.get(url);
    if (refusal) return problem(refusal.status, refusal.code);
    if (this.stumbles.has(url)) return problem(500, 'internal');
    const known = this.clicks.get(url);
    const click = known ?? { page_id: numberOf(url), title, period: this.period, clicked_at, ...this.#whose(url), url };
    this.clicks.set(url, click);
    return Response.json(click, { status: known ? 200 : 201 });
  }

  #list() {
    return [...this.clicks.values()].reverse().map((click) => ({ ...click, ...this.#whose(click.url) }));
  }

  #undo(/** @type {number} */ pageId, /** @type {string | null} */ period) {
    if (period !== this.period) return problem(409, 'period_ended');
    const found = [...this.clicks.values()].find(({ page_id }) => page_id === pageId);
    if (found) this.clicks.delete(found.url);
    return new Response(null, { status: 204 });
  }

  #whose(/** @type {string} */ url) {
    const site = new URL(url).host;
    if (site.startsWith('nobody') && !this.joined.has(site))
      return { site, owner: null, rule: 'promise_host', state: 'promise' };
    return { site, owner: { public_id: idOf(site), name: `Owner of ${site}` }, rule: 'claimed', state: 'counts' };
  }

  #page(/** @type {string} */ url) {
    return { ...this.#whose(url), clicked: this.clicks.has(url), promises: 3, place: 3 };
  }

  #me() {
    const owners = new Set([...this.clicks.values()].map(({ owner }) => owner?.public_id).filter(Boolean)).size;
    const share_micros = owners ? Math.floor(5_000_000 / owners) : 0;
    const ends_at = '2026-12-01T00:00:00Z';
    const { email, period } = this;
    const money = { budget_micros: 5_000_000, balance_micros: 20_000_000, pot_micros: 5_000_000 };
    const shares = { owners, share_micros, projected_share_micros: share_micros };
    return { email, period, ends_at, currency: 'EUR', ...money, ...shares, ...this.wishes };
  }

  #pair(/** @type {string} */ path, /** @type {any} */ { challenge, device, verifier }) {
    if (path === '/pairings') {
      this.pairing = { challenge, device, approved: false, spent: false };
      const connect_url = this.connectUrl;
      return Response.json({ pairing_id: 'p1', code: 'K7MX2P', connect_url, expires_in: 600 }, { status: 201 });
    }
    const proof = createHash('sha256').update(verifier).digest('base64url');
    if (this.pairing.spent || proof !== this.pairing.challenge) return problem(410, 'pairing_ended');
    if (!this.pairing.approved) return problem(428, 'not_approved');
    this.pairing.spent = true;
    this.tokens.add('flt_fresh');
    return Response.json({ token: 'flt_fresh' });
  }
}

const idOf = (/** @type {string} */ text) => createHash('sha256').update(text).digest('hex').slice(0, 12);
const numberOf = (/** @type {string} */ text) => Number.parseInt(idOf(text), 16);

function problem(
  /** @type {number} */ status,
  /** @type {string} */ code,
  /** @type {Record<string, string>} */ headers = {},
) {
  const body = { type: 'about:blank', title: code, status, code, detail: `It is ${code}.` };
  return Response.json(body, { status, headers: { 'content-type': 'application/problem+json', ...headers } });
}

/** @returns {Promise<Response>} never, unless the caller gives up */
function hang(/** @type {AbortSignal | null | undefined} */ signal) {
  return new Promise((_resolve, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
}
