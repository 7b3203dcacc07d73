/**
 * The background: it wakes for an event, does what is due and may be stopped at any moment. So every listener is
 * registered before anything is awaited, and what matters is in storage.
 */
import { answerWith } from '../shared/messages.js';
import { serverAddress } from '../shared/urls.js';
import { callAsUser } from './api.js';
import { showBadge } from './badge.js';
import { pressed, tellServer } from './button.js';
import { device, remember } from './device.js';
import { clearLikes, countAtOnce, countLikes, liked, restoreLikes, tidyLikes, uncountLikes, unliked } from './likes.js';
import { createMenus, openFromMenu } from './menu.js';
import { hostOf, notice, obey, recognised, register } from './networks.js';
import { change, flush, forgetAnswers, pressAgain, queue, retryNow, takeBack, takeBackListed, tidy } from './outbox.js';
import { connect, pollPairing } from './pairing.js';
import { paintAll } from './tab.js';
import { monthView, refreshMe, refreshMonth, settingsView, viewOf } from './views.js';

answerWith({
  press: ({ tabId }) => pressed(tabId),
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

  retry: retryNow,
  month: monthView,
  fresh: refreshMonth,

  async decide(wishes) {
    const answer = await callAsUser('PATCH', '/me', wishes);
    if (answer.is === 'done') await remember(answer.data);
    return answer.is === 'done' ? null : answer.is;
  },

  connect,
  settings: settingsView,

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

  async wear({ dark }) {
    if ((await chrome.storage.local.get({ dark: false }))['dark'] === dark) return;
    await chrome.storage.local.set({ dark });
    await paintAll();
  },

  notice: ({ host, on }) => notice(host, on),
  countAtOnce: ({ at_once }) => countAtOnce(at_once),

  async countLikes({ urls }) {
    await countLikes(urls);
    void flush().then(refreshMe);
  },

  async uncountLikes({ urls }) {
    await uncountLikes(urls);
    void flush().then(refreshMe);
  },

  clearLikes: ({ urls }) => clearLikes(urls),
  restoreLikes: ({ likes }) => restoreLikes(likes),

  liked: (like, sender) => from(sender, (host) => liked(host, like)),
  unliked: (like, sender) => from(sender, (host) => unliked(host, like)),
  recognised: ({ any }, sender) => from(sender, (host) => recognised(host, any)),
});

/**
 * @param {chrome.runtime.MessageSender} sender  a page of a network
 * @param {(host: string) => Promise<void>} act
 * @returns {Promise<boolean>}  false: likes are not noticed there
 */
async function from(sender, act) {
  const host = await hostOf(sender);
  if (!host) return false;
  await act(host);
  if ((await queue()).length) void flush().then(refreshMe);
  return true;
}

chrome.runtime.onInstalled.addListener(async ({ reason }) => {
  await createMenusIfAny();
  if (reason === 'install') await welcome();
  await wake();
});
chrome.runtime.onStartup.addListener(wake);
chrome.contextMenus?.onClicked.addListener(openFromMenu);
chrome.alarms.onAlarm.addListener(({ name }) => (name === 'pairing' ? pollPairing() : flush()));
chrome.storage.onChanged.addListener(async (changes, area) => {
  if (area !== 'local') return;
  await showBadge();
  if (changes['token']?.newValue) await flush();
});
chrome.permissions.onRemoved.addListener(obey);
self.addEventListener('online', flush);

/** Firefox for Android has no such menus. */
async function createMenusIfAny() {
  if (chrome.contextMenus) await createMenus();
}

/** Once: who installs it anew beside what it stored before knows it already. */
async function welcome() {
  const { token, practised } = await chrome.storage.local.get({ token: '', practised: false });
  if (!token && !practised) await chrome.tabs.create({ url: '/pages/welcome.html' });
}

async function wake() {
  await chrome.storage.local.setAccessLevel?.({ accessLevel: 'TRUSTED_CONTEXTS' }); // not for scripts in pages
  await paintAll();
  await register();
  await tidy();
  await tidyLikes();
  await showBadge();
  await flush();
}

/** @param {{server?: string}} change */
async function leave(change) {
  await chrome.storage.local.remove('pairing');
  await chrome.storage.local.set({ token: '', disconnected: false, ...change });
  await forgetAnswers();
}
