/** The toolbar button: what a press on a tab does, and a choice of "Flattr this link", which opens its popup, too. */
import { pageOf } from '../shared/urls.js';
import { currentPeriod, device } from './device.js';
import { entryFor, flush, press, queue } from './outbox.js';
import { addressOf, paint, readPage } from './tab.js';
import { refresh, viewOf } from './views.js';

/**
 * @typedef {import('../shared/messages.js').View} View
 * @typedef {import('../shared/urls.js').Page} Page
 * @typedef {{url: string, title: string}} Link
 */

const LINK = 'link';

/**
 * The popup has opened on a tab.
 * @param {number} tabId
 * @returns {Promise<View | null>}  null: it cannot be flattred
 */
export async function pressed(tabId) {
  const link = await takeLink();
  if (link) return pressLink(link);
  if ((await addressOf(tabId))?.startsWith(chrome.runtime.getURL('/pages/welcome.html'))) return practise();
  const { server } = await device();
  const page = pageOf(await readPage(tabId), server);
  if ('why' in page) return explain(page.why, tabId);
  await press(page);
  void tellServer(page.url, tabId).then(() => pressInNewMonth(page, tabId));
  return viewOf(page.url);
}

/** @param {Link} link  a page that nobody looks at: its address has to do */
async function pressLink(link) {
  const { server } = await device();
  const page = pageOf({ ...link, canonical: null, ownerIds: [], authors: [] }, server);
  if ('why' in page) return explain(page.why);
  await press(page);
  void tellServer(page.url).then(() => pressInNewMonth(page));
  const view = await viewOf(page.url);
  return view && { ...view, elsewhere: true };
}

/**
 * The popup shows what became of it. Where it cannot be opened, the badge alone has to.
 * Firefox opens it only within the very turn in which the menu was chosen: nothing may be awaited before.
 * @param {{tabId: number, link?: Link | undefined}} chosen
 */
export async function pressFromMenu({ tabId, link }) {
  if (link) void chrome.storage.session.set({ [LINK]: link });
  try {
    await chrome.action.openPopup();
  } catch {
    await pressed(tabId);
  }
}

/** @returns {Promise<Link | null>} */
async function takeLink() {
  const link = /** @type {Link | null} */ ((await chrome.storage.session.get({ [LINK]: null }))[LINK]);
  if (link) await chrome.storage.session.remove(LINK);
  return link;
}

/**
 * A press on the page that says how it works. It is stored nowhere, and sent to nobody.
 * @returns {Promise<View>}
 */
async function practise() {
  const { me, server } = await device();
  await chrome.storage.local.set({ practised: true });
  const nothing = { click: null, refusal: null, wedges: [], elsewhere: false, likes: [] };
  return { kind: 'practice', url: '', title: '', me, server, queue: await queue(), ...nothing };
}

/**
 * This page cannot be flattred: My month says why.
 * @param {import('../shared/urls.js').Why} why
 * @param {number} [tabId]
 */
async function explain(why, tabId) {
  if (tabId) await paint(tabId, 'grey');
  await chrome.tabs.create({ url: `/pages/month.html?why=${why}` });
  return null;
}

/**
 * @param {string} url
 * @param {number} [tabId]  where the page is open
 */
export async function tellServer(url, tabId) {
  const pressed = await addressOf(tabId);
  await flush();
  if (tabId && pressed && pressed === (await addressOf(tabId))) await paintFor(url, tabId);
  await refresh(url);
}

/**
 * @param {string} url
 * @param {number} tabId
 */
async function paintFor(url, tabId) {
  const kind = (await viewOf(url))?.kind;
  await paint(tabId, kind === 'counts' || kind === 'promise' ? kind : 'whole');
}

/**
 * The server may be in a new month before our clock is: then the press meant the new one.
 * @param {Page} page
 * @param {number} [tabId]
 */
async function pressInNewMonth(page, tabId) {
  const entry = await entryFor(page.url);
  if (!entry || entry.period === currentPeriod(await device())) return;
  await press(page);
  await tellServer(page.url, tabId);
}
