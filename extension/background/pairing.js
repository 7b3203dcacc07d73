/** Connecting this browser to a user: the code shown here is typed in there (RFC 7636 keeps the token for us alone). */
import { call, callAsUser } from './api.js';
import { connected, device, remember } from './device.js';
import { forgetAnswers } from './outbox.js';

/**
 * @typedef {import('../shared/messages.js').Pairing} Pairing
 * @typedef {{id: string, verifier: string, code: string, connect_url: string, expires_at: number}} Kept
 */

const KEY = 'pairing';
const ALARM = 'pairing';

/**
 * Go on with the pairing that is under way, or begin one.
 * @param {{fresh?: boolean}} ask  fresh: begin anew
 * @returns {Promise<Pairing>}
 */
export async function connect({ fresh = false }) {
  const { server, token, me } = await device();
  if (token) return { state: 'connected', server, ...(me && { email: me.email }) };
  const kept = await pairing();
  if (!kept || fresh) return begin(server);
  return redeem(server, kept);
}

/** While a pairing is open, also when its tab sleeps in the background or is closed. */
export async function pollPairing() {
  if (await pairing()) await connect({});
  else await chrome.alarms.clear(ALARM);
}

/**
 * @param {string} server
 * @returns {Promise<Pairing>}
 */
async function begin(server) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const challenge = base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
  const answer = await call(server, 'POST', '/pairings', { challenge, device: await deviceName() });
  if (answer.is !== 'done') return { state: 'unreachable', server };
  const { pairing_id: id, code, connect_url, expires_in } = answer.data;
  const kept = { id, verifier, code, connect_url, expires_at: Date.now() + expires_in * 1000 };
  await chrome.storage.local.set({ [KEY]: kept });
  await chrome.alarms.create(ALARM, { periodInMinutes: 0.5 });
  return open(server, kept);
}

/**
 * @param {string} server
 * @param {Kept} kept
 * @returns {Promise<Pairing>}
 */
async function redeem(server, kept) {
  const { id, verifier, expires_at } = kept;
  const path = `/pairings/${encodeURIComponent(id)}/token`;
  const answer = await call(server, 'POST', path, { verifier });
  if (answer.is === 'done') return redeemed(answer.data.token);
  const pending = answer.is === 'later' || (answer.is === 'refused' && answer.status === 428);
  if (pending && Date.now() < expires_at) return open(server, kept);
  await chrome.storage.local.remove(KEY);
  return { state: 'expired', server };
}

/**
 * @param {string} token
 * @returns {Promise<Pairing>}
 */
async function redeemed(token) {
  const { server, me } = await device();
  await connected(token);
  await chrome.storage.local.remove(KEY);
  const answer = await callAsUser('GET', '/me');
  const now = answer.is === 'done' ? answer.data : null;
  if (me && now && me.email !== now.email) await forgetAnswers();
  if (now) await remember(now);
  return { state: 'connected', server, ...(now && { email: now.email }) };
}

/**
 * @param {string} server
 * @param {Kept} kept
 * @returns {Pairing}
 */
function open(server, { code, connect_url }) {
  return { state: 'open', server, code, ...(/^https?:\/\//.test(connect_url) && { connect_url }) };
}

/** @returns {Promise<Kept | null>} */
async function pairing() {
  return /** @type {{pairing: Kept | null}} */ (await chrome.storage.local.get({ [KEY]: null }))[KEY];
}

async function deviceName() {
  const { os } = await chrome.runtime.getPlatformInfo();
  const systems = /** @type {Record<string, string>} */ ({
    mac: 'macOS',
    win: 'Windows',
    linux: 'Linux',
    android: 'Android',
  });
  const browser = /Firefox|Edg|OPR/.exec(navigator.userAgent)?.[0] ?? 'Chrome';
  const names = /** @type {Record<string, string>} */ ({ Edg: 'Edge', OPR: 'Opera' });
  return `${names[browser] ?? browser} on ${systems[os] ?? os}`;
}

/** @param {Uint8Array | ArrayBuffer} bytes */
function base64url(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
