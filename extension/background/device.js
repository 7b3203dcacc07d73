/** This browser as a device of a user: its server, its token, and what the server last said about the user. */
import { DEFAULT_SERVER } from '../shared/server.js';

/**
 * @typedef {import('../shared/messages.js').Me} Me
 * @typedef {object} Device
 * @property {string} server
 * @property {string} token  empty: not connected
 * @property {boolean} disconnected  it was connected, until the server no longer knew its token
 * @property {(Me & {fetched_in: string}) | null} me
 */

/** @returns {Promise<Device>} */
export async function device() {
  const stored = await chrome.storage.local.get({
    server: DEFAULT_SERVER,
    token: '',
    disconnected: false,
    me: null,
  });
  return /** @type {Device} */ (/** @type {unknown} */ (stored));
}

/** @param {Me} me */
export async function remember(me) {
  await chrome.storage.local.set({ me: { ...me, fetched_in: monthOf(new Date()) } });
}

/** @param {string} token */
export async function connected(token) {
  await chrome.storage.local.set({ token, disconnected: false });
}

/** The server no longer knows us. */
export async function tokenDied() {
  await chrome.storage.local.set({ token: '', disconnected: true });
}

/**
 * The period that is open now. The server's word counts, also when its clock and ours disagree, until our month turns.
 * @param {Device} here
 */
export function currentPeriod({ me }) {
  const month = monthOf(new Date());
  return me && me.fetched_in === month ? me.period : month;
}

/** @param {Date} date */
function monthOf(date) {
  return date.toISOString().slice(0, 7);
}
