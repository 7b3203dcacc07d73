/** The popup: opening it is the press. It shows how the page stands, and follows it while it is open. */
import { drawCake } from '../shared/cake.js';
import { byId, dress, openPage } from '../shared/dom.js';
import { showEnding } from '../shared/ending.js';
import { showLikes } from '../shared/likes.js';
import { ask } from '../shared/messages.js';
import { plural, t } from '../shared/text.js';
import { noteFor, wordsFor } from './words.js';

/** @typedef {import('../shared/messages.js').View} View */

/** @type {{url: string, tabId?: number}} */
const pressed = { url: '' };

dress();
byId('undo').onclick = () => ask('undo', pressed);
byId('month').onclick = () => open('month');
press().catch(failed);

async function press() {
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true });
  const view = await ask('press', { tabId: tab?.id ?? 0 });
  if (!view) return window.close();
  pressed.url = view.url;
  if (tab?.id && !view.elsewhere) pressed.tabId = tab.id;
  show(view);
  chrome.storage.onChanged.addListener(() => look().catch(failed));
  await look(); // something may have changed before we listened
}

async function look() {
  const view = await ask('look', { url: pressed.url });
  if (view) show(view);
}

/** @param {View} view */
function show(view) {
  const { payee, why, worth, thanks, until, act } = wordsFor(view);
  byId('view').dataset['kind'] = view.kind;
  byId('payee').textContent = payee;
  byId('why').textContent = why;
  byId('worth').textContent = worth;
  byId('thanks').textContent = thanks;
  byId('until').textContent = until;
  byId('undo').hidden = !canUndo(view);
  offer(act, view);
  showCake(view);
  showEnding(byId('ending'), view.kind === 'promise' ? view.me : null);
  showLikes(byId('likes'), view.likes);
  if (view.refusal && !view.refusal.seen) void ask('seen', { url: view.url });
}

/** @param {View} view */
function canUndo({ kind, refusal }) {
  return !refusal && kind !== 'undone' && kind !== 'practice';
}

/**
 * @param {import('./words.js').Words['act']} act
 * @param {View} view
 */
function offer(act, view) {
  const button = byId('act');
  button.hidden = !act;
  if (act !== 'tell') byId('told').textContent = '';
  if (!act) return;
  button.textContent = t(`act_${act}`);
  button.onclick = () => ACTS[act](view);
}

const ACTS = {
  again: () => ask('again', pressed),
  connect: () => open('connect'),
  tell: (/** @type {View} */ view) => tell(view).catch(failed),
};

/** @param {View} view */
async function tell(view) {
  await navigator.clipboard.writeText(noteFor(view));
  byId('told').textContent = t('told');
}

/** @param {View} view */
function showCake({ kind, me, wedges }) {
  const practice = kind === 'practice' ? [{ name: t('practice_payee'), mine: true }] : null;
  const people = practice ? 1 : Math.max(me?.owners ?? 0, wedges.length);
  const cake = { people, wedges: practice ?? wedges, promise: kind === 'promise' };
  const drawn = JSON.stringify(cake);
  if (byId('cake').dataset['drawn'] === drawn) return; // drawn again, it would be cut again
  byId('cake').dataset['drawn'] = drawn;
  byId('cake').replaceChildren(drawCake(cake, people ? plural('cake', people) : t('cake_whole')));
}

/** @param {Parameters<typeof openPage>[0]} page */
async function open(page) {
  await openPage(page);
  window.close();
}

/** @param {unknown} error */
function failed(error) {
  byId('view').dataset['kind'] = 'failed';
  byId('payee').textContent = t('failed');
  byId('why').textContent = t('failed_why', String(error));
}
