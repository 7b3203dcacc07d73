/** What popup and pages show, put together from what is stored; and asking the server for fresher words. */
import { callAsUser } from './api.js';
import { currentPeriod, device, remember } from './device.js';
import { changeIfSame, entries, entryFor, isWaiting, retries } from './outbox.js';

/**
 * @typedef {import('./outbox.js').Entry} Entry
 * @typedef {import('./device.js').Device} Device
 * @typedef {import('../shared/messages.js').View} View
 * @typedef {import('../shared/messages.js').Month} Month
 * @typedef {import('../shared/messages.js').Wedge} Wedge
 * @typedef {import('../shared/messages.js').Waiting} Waiting
 */

/**
 * @param {string} url
 * @returns {Promise<View | null>}
 */
export async function viewOf(url) {
  const entry = await entryFor(url);
  if (!entry) return null;
  const here = await device();
  const all = await entries();
  return {
    kind: kindOf(entry, here, (await retries()).failures > 0),
    url,
    title: entry.press.title,
    click: entry.click,
    refusal: entry.refusal,
    me: here.me,
    waiting: all.filter(isWaiting).length,
    server: here.server,
    wedges: wedges(all, entry, currentPeriod(here)),
  };
}

/**
 * @param {Entry} entry
 * @param {Device} here
 * @param {boolean} failed
 * @returns {View['kind']}
 */
function kindOf(entry, { token, disconnected }, failed) {
  if (entry.refusal) return 'refused';
  if (!entry.wanted) return 'undone';
  if (entry.click) return entry.click.state;
  if (!token) return disconnected ? 'disconnected' : 'unconnected';
  return failed ? 'waiting' : 'sending';
}

/**
 * One per person, in the order in which they joined the list.
 * @param {Entry[]} all
 * @param {Entry} shown
 * @param {string} period
 * @returns {Wedge[]}
 */
function wedges(all, shown, period) {
  const mine = shown.click?.owner?.public_id;
  const people = /** @type {Map<string, Wedge>} */ (new Map());
  for (const { click, wanted, period: when } of all) {
    if (!wanted || when !== period || click?.state !== 'counts' || !click.owner) continue;
    const { public_id, name } = click.owner;
    if (!people.has(public_id)) people.set(public_id, { name: name || click.site, mine: public_id === mine });
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
}

/**
 * @param {Entry} entry
 * @param {any} page  also tells of an undo, or a press, in another browser
 * @returns {Entry}
 */
function refreshed(entry, { owner, rule, state, promises, shared, clicked }) {
  const known = entry.click && ['counts', 'promise'].includes(state);
  const click = known ? { ...entry.click, owner, rule, state, promises, shared } : entry.click;
  return { ...entry, click: /** @type {Entry['click']} */ (click), wanted: Boolean(clicked), gone: !clicked };
}

export async function refreshMe() {
  const answer = await callAsUser('GET', '/me');
  if (answer.is === 'done') await remember(answer.data);
}

/** @returns {Promise<Month>} */
export async function monthView() {
  await refreshMe();
  const answer = await callAsUser('GET', `/clicks?period=${currentPeriod(await device())}`);
  const listed =
    answer.is === 'done' ? /** @type {import('../shared/messages.js').Click[]} */ (answer.data.clicks) : null;
  const { me, token, server } = await device();
  const undone = (await entries())
    .filter((entry) => isWaiting(entry) && !entry.wanted)
    .map(({ click }) => click?.page_id);
  const clicks = listed?.filter(({ page_id }) => !undone.includes(page_id)) ?? null;
  return { me, server, connected: Boolean(token), waiting: await waitingList(), clicks };
}

/** @returns {Promise<Waiting[]>}  and what was refused without the reader having seen it */
export async function waitingList() {
  const open = (await entries()).filter((entry) => isWaiting(entry) || (entry.refusal && !entry.refusal.seen));
  return open.map(({ press, wanted, refusal }) => ({ url: press.url, title: press.title, undo: !wanted, refusal }));
}
