/**
 * The background: it wakes for an event, does what is due and may be stopped at any moment. So every listener is
 * registered before anything is awaited, and what matters is in storage.
 */
import { answerWith } from '../shared/messages.js';
import { pageOf, serverAddress } from '../shared/urls.js';
import { callAsUser } from './api.js';
import { showBadge } from './badge.js';
import { currentPeriod, device } from './device.js';
import { createMenu, openFromMenu } from './menu.js';
import { change, entryFor, flush, forgetAnswers, press, pressAgain, takeBack, takeBackListed, tidy } from './outbox.js';
import { connect, pollPairing } from './pairing.js';
import { addressOf, paint, readPage } from './tab.js';
import { monthView, refresh, viewOf, waitingList } from './views.js';

answerWith({
  async press({ tabId }) {
    const { server } = await device();
    const page = pageOf(await readPage(tabId), server);
    if ('why' in page) return explain(tabId, page.why);
    await press(page);
    void tellServer(page.url, tabId).then(() => pressInNewMonth(page, tabId));
    return viewOf(page.url);
  },

  look: ({ url }) => viewOf(url),

  async again({ url, tabId }) {
    await pressAgain(url);
    void tellServer(url, tabId);
  },

  async undo({ url, tabId }) {
    await takeBack(url);
    void tellServer(url, tabId);
  },

  async undoListed({ click }) {
    void tellServer(await takeBackListed(click));
  },

  async seen({ url }) {
    await change(url, (entry) =>
      entry?.refusal ? { ...entry, refusal: { ...entry.refusal, seen: true } } : undefined,
    );
  },

  month: monthView,
  connect,

  async settings() {
    const { server, token, me } = await device();
    return { server, connected: Boolean(token), email: me?.email ?? null, waiting: await waitingList() };
  },

  async moveTo({ server }) {
    const address = serverAddress(server);
    if (!address) return false;
    if (address !== (await device()).server) await leave({ server: address });
    return true;
  },

  async disconnect() {
    await callAsUser('DELETE', '/token');
    await leave({});
  },
});

chrome.runtime.onInstalled.addListener(async () => {
  await createMenu();
  await wake();
});
chrome.runtime.onStartup.addListener(wake);
chrome.contextMenus.onClicked.addListener(openFromMenu);
chrome.alarms.onAlarm.addListener(({ name }) => (name === 'pairing' ? pollPairing() : flush()));
chrome.storage.onChanged.addListener(async (changes, area) => {
  if (area !== 'local') return;
  await showBadge();
  if (changes.token?.newValue) await flush();
});
self.addEventListener('online', flush);

async function wake() {
  await tidy();
  await showBadge();
  await flush();
}

/**
 * @param {string} url
 * @param {number} [tabId]  where the popup is open
 */
async function tellServer(url, tabId) {
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
 * @param {import('../shared/urls.js').Page} page
 * @param {number} tabId
 */
async function pressInNewMonth(page, tabId) {
  const entry = await entryFor(page.url);
  if (!entry || entry.period === currentPeriod(await device())) return;
  await press(page);
  await tellServer(page.url, tabId);
}

/**
 * This page cannot be flattred: My month says why.
 * @param {number} tabId
 * @param {import('../shared/urls.js').Why} why
 */
async function explain(tabId, why) {
  await paint(tabId, 'grey');
  await chrome.tabs.create({ url: `/pages/month.html?why=${why}` });
  return null;
}

/** @param {{server?: string}} change */
async function leave(change) {
  await chrome.storage.local.remove('pairing');
  await chrome.storage.local.set({ token: '', disconnected: false, ...change });
  await forgetAnswers();
}
