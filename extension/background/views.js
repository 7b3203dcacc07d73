/** What popup and pages show, put together from what is stored; and asking the server for fresher words. */
import { callAsUser } from './api.js';
import { device, remember } from './device.js';
import { atOnce, likes, waitingLikes } from './likes.js';
import { list, refreshList } from './list.js';
import { switches } from './networks.js';
import { changeIfSame, entries, entryFor, isWaiting, queue } from './outbox.js';

/**
 * @typedef {import('./outbox.js').Entry} Entry
 * @typedef {import('../shared/messages.js').Click} Click
 * @typedef {import('../shared/messages.js').Me} Me
 * @typedef {import('../shared/messages.js').Month} Month
 * @typedef {import('../shared/messages.js').Queue} Queue
 * @typedef {import('../shared/messages.js').Settings} Settings
 * @typedef {import('../shared/messages.js').View} View
 * @typedef {import('../shared/messages.js').Waiting} Waiting
 * @typedef {import('../shared/messages.js').Wedge} Wedge
 */

/**
 * @param {string} url
 * @returns {Promise<View | null>}
 */
export async function viewOf(url) {
  const entry = await entryFor(url);
  if (!entry) return null;
  const { me, server } = await device();
  const waits = await queue();
  return {
    kind: kindOf(entry, waits),
    url,
    title: entry.press.title,
    click: entry.click,
    refusal: entry.refusal,
    me,
    queue: waits,
    server,
    wedges: wedges((await list()) ?? [], entry.click),
    elsewhere: false,
    likes: await waitingLikes(),
  };
}

/**
 * @param {Entry} entry
 * @param {Queue} queue
 * @returns {View['kind']}
 */
function kindOf(entry, { reason }) {
  if (entry.refusal) return 'refused';
  if (!entry.wanted) return 'undone';
  if (entry.click) return entry.click.state;
  return reason === 'sending' || reason === 'unconnected' || reason === 'disconnected' ? reason : 'waiting';
}

/**
 * One per person, in the order in which they joined the list.
 * @param {Click[]} clicks  newest first
 * @param {Click | null} shown
 * @returns {Wedge[]}
 */
function wedges(clicks, shown) {
  const people = /** @type {Map<string, Wedge>} */ (new Map());
  for (const { owner, site, state } of [...clicks].reverse()) {
    if (state !== 'counts' || !owner || people.has(owner.public_id)) continue;
    const mine = shown?.state === 'counts' && owner.public_id === shown.owner?.public_id;
    people.set(owner.public_id, { name: owner.name || site, mine });
  }
  return [...people.values()];
}

/**
 * The share as it is now, and how the page stands: a promise may have become a person.
 * @param {string} url
 */
export async function refresh(url) {
  await refreshMe();
  const entry = await entryFor(url);
  if (!entry || entry.refusal || isWaiting(entry)) return;
  const { press } = entry;
  const owner = press.owner_id ? `&owner_id=${encodeURIComponent(press.owner_id)}` : '';
  const answer = await callAsUser('GET', `/pages?url=${encodeURIComponent(press.url)}${owner}`);
  if (answer.is === 'done') await changeIfSame(press, (now) => (isWaiting(now) ? now : refreshed(now, answer.data)));
  await refreshNames();
}

/**
 * @param {Entry} entry
 * @param {any} page  also tells of an undo, or a press, in another browser
 * @returns {Entry}
 */
function refreshed(entry, { owner, rule, state, place, shared, thanks, clicked }) {
  const known = entry.click && ['counts', 'promise'].includes(state);
  const click = known ? { ...entry.click, owner, rule, state, place, shared, thanks } : entry.click;
  return { ...entry, click: /** @type {Entry['click']} */ (click), wanted: Boolean(clicked), gone: !clicked };
}

export async function refreshMe() {
  const answer = await callAsUser('GET', '/me');
  if (answer.is === 'done') await remember(answer.data);
}

/** More people than this browser can name: others were flattred in another one. */
async function refreshNames() {
  const { me } = await device();
  if (me && me.owners !== wedges((await list()) ?? [], null).length) await refreshList();
}

/** @returns {Promise<Month>} */
export async function monthView() {
  const { me, token, server } = await device();
  return {
    me,
    server,
    connected: Boolean(token),
    waiting: await waitingList(),
    queue: await queue(),
    clicks: await list(),
    likes: await likes(),
  };
}

/** @returns {Promise<boolean>}  false: the server could not be asked */
export async function refreshMonth() {
  await refreshMe();
  return refreshList();
}

/** @returns {Promise<Settings>} */
export async function settingsView() {
  const { server, token, me } = await device();
  const { practised } = await chrome.storage.local.get({ practised: false });
  return {
    server,
    connected: Boolean(token),
    me,
    waiting: await waitingList(),
    queue: await queue(),
    practised: Boolean(practised),
    networks: await switches(),
    at_once: await atOnce(),
  };
}

/** @returns {Promise<Waiting[]>}  and what was refused without the reader having seen it */
async function waitingList() {
  const open = (await entries()).filter((entry) => isWaiting(entry) || (entry.refusal && !entry.refusal.seen));
  return open.map(({ press, wanted, refusal }) => ({ url: press.url, title: press.title, undo: !wanted, refusal }));
}
