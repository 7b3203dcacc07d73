/** The list of the open month: what the server last said, with what this browser did since. */
import { callAsUser } from './api.js';
import { currentPeriod, device } from './device.js';
import { changeIfSame, entries, isWaiting } from './outbox.js';

/**
 * @typedef {import('../shared/messages.js').Click} Click
 * @typedef {import('./outbox.js').Entry} Entry
 */

const KEY = 'list';

/**
 * Ask the server, which also knows what other browsers did.
 * @returns {Promise<boolean>}  false: it could not be asked
 */
export async function refreshList() {
  const before = (await entries()).filter((entry) => entry.click && !entry.refusal && !isWaiting(entry));
  const answer = await callAsUser('GET', `/clicks?period=${currentPeriod(await device())}`);
  if (answer.is !== 'done') return false;
  const { period, clicks } = /** @type {{period: string, clicks: Click[]}} */ (answer.data);
  await chrome.storage.local.set({ [KEY]: { period, clicks } });
  const there = new Map(clicks.map((click) => [click.page_id, click]));
  for (const entry of before.filter((entry) => entry.period === period)) await agree(entry, there);
  return true;
}

/**
 * The server has the last word on a page, unless the reader did something here while it spoke.
 * @param {Entry} was
 * @param {Map<number, Click>} there
 */
async function agree(was, there) {
  const listed = there.get(was.click?.page_id ?? 0);
  await changeIfSame(was.press, (now) => {
    if (JSON.stringify(now) !== JSON.stringify(was) || !now.click) return now;
    return { ...now, wanted: Boolean(listed), gone: !listed, click: { ...now.click, ...listed } };
  });
}

/** @returns {Promise<Click[] | null>}  newest first; null: the server never said */
export async function list() {
  const period = currentPeriod(await device());
  const stored = (await chrome.storage.local.get({ [KEY]: null }))[KEY];
  const said = /** @type {{period: string, clicks: Click[]} | null} */ (stored);
  const clicks = new Map((said?.period === period ? said.clicks : []).map((click) => [click.page_id, click]));
  for (const { click, wanted, period: when } of await entries()) {
    if (!click || when !== period) continue;
    if (wanted) clicks.set(click.page_id, click);
    else clicks.delete(click.page_id);
  }
  if (!said && !clicks.size) return null;
  return [...clicks.values()].sort((a, b) => b.clicked_at.localeCompare(a.clicked_at));
}
