/** Where likes are noticed: on hosts that the reader switched on, for as long as the browser lets us there. */
import { NETWORKS, networkAt } from '../networks/index.js';

/**
 * @typedef {import('../shared/messages.js').Switch} Switch
 * @typedef {{at: number, misses: number}} Sight  when a like button was last seen, and pages without one since
 */

const KEY = 'networks';
const SEEN = 'seen:';
const MOST_MISSES = 8;

/** @returns {Promise<string[]>} */
async function hosts() {
  return /** @type {{networks: string[]}} */ (await chrome.storage.local.get({ [KEY]: [] }))[KEY];
}

/** @param {string} host */
export const originOf = (host) => `https://${host}/*`;

/** @param {string} host */
async function isAllowed(host) {
  return chrome.permissions.contains({ origins: [originOf(host)] });
}

/**
 * @param {string} host
 * @param {boolean} on
 */
export async function notice(host, on) {
  const others = (await hosts()).filter((one) => one !== host);
  await chrome.storage.local.set({ [KEY]: on ? [...others, host] : others });
  if (on) await chrome.storage.local.set({ [SEEN + host]: { at: Date.now(), misses: 0 } });
  else await chrome.storage.local.remove(SEEN + host);
  if (!on) await chrome.permissions.remove({ origins: [originOf(host)] }).catch(() => false);
  await register();
  if (on) await begin(host);
}

/** @type {Promise<unknown>} One after the other: switching off also takes the permission away, which is announced. */
let turn = Promise.resolve();

/** Scripts are registered where the reader wants them and the browser allows them, and nowhere else. */
export function register() {
  const mine = turn.then(registerNow);
  turn = mine.catch(() => undefined);
  return mine;
}

async function registerNow() {
  const allowed = await Promise.all((await hosts()).map(async (host) => ((await isAllowed(host)) ? host : '')));
  const wanted = allowed.filter(Boolean);
  const ids = (await chrome.scripting.getRegisteredContentScripts()).map(({ id }) => id);
  const gone = ids.filter((id) => !wanted.includes(id));
  if (gone.length) await chrome.scripting.unregisterContentScripts({ ids: gone });
  const fresh = wanted.filter((host) => !ids.includes(host));
  if (fresh.length) await chrome.scripting.registerContentScripts(fresh.map(script));
}

/** The browser, or the reader in its settings, took a permission away: the switch follows. */
export async function obey() {
  const list = await hosts();
  const allowed = await Promise.all(list.map(isAllowed));
  const left = list.filter((_, i) => allowed[i]);
  if (left.length < list.length) await chrome.storage.local.set({ [KEY]: left });
  await register();
}

/**
 * @param {string} host
 * @returns {chrome.scripting.RegisteredContentScript}
 */
function script(host) {
  return { id: host, matches: [originOf(host)], js: files(host), runAt: 'document_start' };
}

/** @param {string} host */
function files(host) {
  return ['dom', networkAt(host).id, 'watch'].map((name) => `/networks/${name}.js`);
}

/** Pages of it that are open already. @param {string} host */
async function begin(host) {
  for (const { id } of await chrome.tabs.query({ url: originOf(host) })) {
    if (id) await chrome.scripting.executeScript({ target: { tabId: id }, files: files(host) }).catch(() => null);
  }
}

/**
 * The host whose page says something, if likes are noticed there: its script may live on in a page after that ended.
 * @param {chrome.runtime.MessageSender} sender
 * @returns {Promise<string | null>}
 */
export async function hostOf({ url, frameId }) {
  const { protocol, host } = new URL(url ?? 'about:blank');
  const isWanted = protocol === 'https:' && frameId === 0 && (await hosts()).includes(host);
  return isWanted && (await isAllowed(host)) ? host : null;
}

/**
 * @param {string} host
 * @param {boolean} any
 */
export async function recognised(host, any) {
  const key = SEEN + host;
  const unseen = /** @type {Sight} */ ({ at: Date.now(), misses: 0 });
  const { at, misses } =
    /** @type {Record<string, Sight>} */ (await chrome.storage.local.get({ [key]: unseen }))[key] ?? unseen;
  await chrome.storage.local.set({ [key]: any ? unseen : { at, misses: misses + 1 } });
}

/** @returns {Promise<Switch[]>}  every network, and each Mastodon server that the reader named */
export async function switches() {
  const on = await hosts();
  const known = NETWORKS.flatMap(({ hosts }) => hosts);
  const all = [...known, ...on.filter((host) => !known.includes(host)).sort()];
  return Promise.all(
    all.map(async (host) => {
      const { id, name, hosts } = networkAt(host);
      return { host, id, name: hosts.length ? name : host, on: on.includes(host), silent_since: await silence(host) };
    }),
  );
}

/** @param {string} host */
async function silence(host) {
  const key = SEEN + host;
  const sight = /** @type {Sight | undefined} */ ((await chrome.storage.local.get(key))[key]);
  return sight && sight.misses >= MOST_MISSES ? sight.at : null;
}
