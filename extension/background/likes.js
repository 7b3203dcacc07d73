/**
 * What the reader liked elsewhere. It waits for their word, or counts at once if they want that; taking the like back takes
 * back what it became. One storage key per page, `like:URL`, as in the outbox.
 */
import { networkAt } from '../networks/index.js';
import { pageOf } from '../shared/urls.js';
import { currentPeriod, device } from './device.js';
import { list } from './list.js';
import { entries, entryFor, press, pressAgain, takeBack } from './outbox.js';

/**
 * @typedef {import('../shared/messages.js').Like} Like
 * @typedef {import('../shared/messages.js').Liked} Liked
 */

const PREFIX = 'like:';
const AT_ONCE = 'likes_at_once';
const KEPT_MS = 60 * 24 * 60 * 60 * 1000;

/** @type {Promise<unknown>} Writes take turns, as in the outbox. */
let turn = Promise.resolve();

/**
 * @param {string} url
 * @param {(like: Like | undefined) => Promise<Like | null | undefined>} change  undefined: leave it; null: remove it
 */
function change(url, change) {
  const key = PREFIX + url;
  const mine = turn.then(async () => {
    const like = await change(/** @type {Like | undefined} */ ((await chrome.storage.local.get(key))[key]));
    if (like) await chrome.storage.local.set({ [key]: like });
    if (like === null) await chrome.storage.local.remove(key);
  });
  turn = mine.catch(() => undefined);
  return mine;
}

/** @returns {Promise<Like[]>}  newest first */
async function all() {
  const stored = Object.entries(await chrome.storage.local.get(null));
  const likes = stored.filter(([key]) => key.startsWith(PREFIX)).map(([, like]) => /** @type {Like} */ (like));
  return likes.sort((a, b) => lastOf(b) - lastOf(a));
}

/** @param {Like} like */
const lastOf = ({ sources }) => sources.at(-1)?.at ?? 0;

/**
 * Those that were counted, and those that wait; not those whose page the reader flattred themselves.
 * @returns {Promise<Like[]>}
 */
export async function likes() {
  const flattred = await flattredUrls();
  return (await all()).filter(({ counted, page }) => counted || !flattred.has(page.url));
}

async function flattredUrls() {
  const period = currentPeriod(await device());
  const here = (await entries()).filter((entry) => entry.wanted && entry.period === period && !entry.refusal);
  return new Set([...here.map((entry) => entry.press.url), ...((await list()) ?? []).map(({ url }) => url)]);
}

/** @returns {Promise<Like[]>} */
export async function waitingLikes() {
  return (await likes()).filter(({ counted }) => !counted);
}

export async function atOnce() {
  return Boolean((await chrome.storage.local.get({ [AT_ONCE]: false }))[AT_ONCE]);
}

/** @param {boolean} wanted */
export async function countAtOnce(wanted) {
  await chrome.storage.local.set({ [AT_ONCE]: wanted });
}

/**
 * @param {string} host  where
 * @param {Liked} liked
 */
export async function liked(host, { act, work, page }) {
  const network = networkAt(host);
  const { server } = await device();
  const clean = pageOf({ ...page, canonical: null, ownerIds: [], authors: [] }, server);
  if ('why' in clean || !network.pays.test(clean.url)) return;
  const isNew = !(await flattredUrls()).has(clean.url);
  await change(clean.url, async (like) => {
    if (!like && !isNew) return undefined; // flattred by hand: it stays that, whatever becomes of the like
    const others = (like?.sources ?? []).filter((source) => !isSame(source, act, work));
    const name = network.hosts.length ? network.name : host;
    const sources = [...others, { act, work, at: Date.now() }];
    const stands = like?.counted && !isNew;
    return {
      page: { url: clean.url, title: clean.title },
      network: name,
      sources,
      counted: stands ? like.counted : null,
    };
  });
  if (isNew && (await atOnce())) await countLikes([clean.url]);
}

/**
 * @param {string} host
 * @param {Liked} liked
 */
export async function unliked(host, { act, work, page }) {
  const clean = pageOf({ ...page, canonical: null, ownerIds: [], authors: [] }, (await device()).server);
  if ('why' in clean || !networkAt(host).pays.test(clean.url)) return;
  await change(clean.url, async (like) => {
    const sources = (like?.sources ?? []).filter((source) => !isSame(source, act, work));
    if (!like || sources.length === like.sources.length) return undefined;
    if (sources.length) return { ...like, sources };
    await takeBackCounted(like);
    return null;
  });
}

/**
 * @param {Like['sources'][number]} source
 * @param {Liked['act']} act
 * @param {Liked['work']} work
 */
function isSame(source, act, work) {
  return source.act === act && source.work.url === work.url;
}

/** What it became, while the month is open and the reader has not pressed anew since. @param {Like} like */
async function takeBackCounted({ counted, page }) {
  const entry = await entryFor(page.url);
  const isOpen = entry && entry.period === currentPeriod(await device());
  if (counted && isOpen && entry.press.clicked_at === counted) await takeBack(page.url);
}

/**
 * The press comes first: stopped between the two, a like that waits for a page already flattred is not listed.
 * @param {string[]} urls
 */
export async function countLikes(urls) {
  for (const url of urls) {
    await change(url, async (like) => {
      if (!like || like.counted) return undefined;
      await press({ ...like.page, owner_id: null });
      if (!(await entryFor(url))?.wanted) await pressAgain(url);
      return { ...like, counted: (await entryFor(url))?.press.clicked_at ?? null };
    });
  }
}

/** @param {string[]} urls */
export async function uncountLikes(urls) {
  for (const url of urls) {
    await change(url, async (like) => {
      if (!like?.counted) return undefined;
      await takeBackCounted(like);
      return { ...like, counted: null };
    });
  }
}

/** @param {string[]} urls */
export async function clearLikes(urls) {
  for (const url of urls) await change(url, async (like) => (like && !like.counted ? null : undefined));
}

/** What was cleared waits again, but for what was liked anew meanwhile. @param {Like[]} cleared */
export async function restoreLikes(cleared) {
  for (const like of cleared) await change(like.page.url, async (newer) => (newer ? undefined : like));
}

/** What was counted in months that are over, and what has waited for too long. */
export async function tidyLikes() {
  const period = currentPeriod(await device());
  for (const like of await all()) {
    const isOld = like.counted ? like.counted.slice(0, 7) !== period : lastOf(like) < Date.now() - KEPT_MS;
    if (isOld) await change(like.page.url, async () => null);
  }
}
