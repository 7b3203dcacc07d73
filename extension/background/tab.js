/** The pressed tab: looking at its page once, and the button's picture on it. */
import { readFacts } from '../page/facts.js';

/**
 * @typedef {import('../page/facts.js').Facts} Facts
 * @typedef {'whole' | 'counts' | 'promise' | 'grey'} Picture
 */

// Chromium: right after the first press of a session, the permission for the tab can lag behind by milliseconds.
const TRIES_MS = [0, 50, 200];
const MOST_LOOKS = 3;

/**
 * What the reader sees is what is flattred: a page that turned into another while we looked is looked at again.
 * @param {number} tabId
 * @returns {Promise<Facts | null>}  null: the browser lets nobody look (its own pages, error pages)
 */
export async function readPage(tabId) {
  let facts = await look(tabId);
  for (let looks = 1; facts && looks < MOST_LOOKS && (await addressOf(tabId)) !== facts.url; looks += 1)
    facts = await look(tabId);
  return facts;
}

/**
 * @param {number} tabId
 * @returns {Promise<Facts | null>}
 */
async function look(tabId) {
  for (const delay of TRIES_MS) {
    if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
    try {
      const [first] = await chrome.scripting.executeScript({ target: { tabId }, func: readFacts });
      return first?.result ?? null;
    } catch (error) {
      if (!/Cannot access contents/.test(String(error))) return withoutLooking(tabId, String(error));
    }
  }
  return withoutLooking(tabId, '');
}

/**
 * Documents that run no scripts (PDFs, the browsers' add-on shops) still have an address and a title.
 * @param {number} tabId
 * @param {string} error
 * @returns {Promise<Facts | null>}
 */
async function withoutLooking(tabId, error) {
  const { url, title = '' } = await chrome.tabs.get(tabId);
  if (!url || /error page/i.test(error)) return null;
  return { url, canonical: null, title, ownerIds: [], authors: [] };
}

/**
 * @param {number} tabId
 * @param {Picture} picture
 */
export async function paint(tabId, picture) {
  try {
    await chrome.action.setIcon?.({ tabId, path: await drawn(picture) });
  } catch {
    // The tab may be gone by now.
  }
}

/** The picture on every tab that was not pressed. Browsers forget it when they close; telephones show none. */
export async function paintAll() {
  await chrome.action.setIcon?.({ path: await drawn('whole') });
}

/** @param {Picture} picture */
async function drawn(picture) {
  const { dark } = await chrome.storage.local.get({ dark: false });
  const folder = dark ? '/icons/dark' : '/icons';
  return { 16: `${folder}/${picture}-16.png`, 32: `${folder}/${picture}-32.png` };
}

/**
 * Where a tab is; the browser hides that from us as soon as it has left the pressed site.
 * @param {number | undefined} tabId
 */
export async function addressOf(tabId) {
  const tab = tabId ? await chrome.tabs.get(tabId).catch(() => null) : null; // closed meanwhile
  return tab?.url;
}
