/** Connecting this browser: shows the code, and notices when it has been typed. */
import { make } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { t } from '../shared/text.js';

/** @typedef {import('../shared/messages.js').Pairing} Pairing */

const POLL_MS = 2000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {HTMLElement} place  asks the server for a code, from here on */
export function followPairing(place) {
  // In a tab behind others timers sleep for up to a minute: look at once when the reader comes back.
  document.addEventListener('visibilitychange', () => document.hidden || follow(place));
  chrome.storage.onChanged.addListener((changes) => changes['token'] && follow(place));
  return follow(place);
}

/**
 * @param {HTMLElement} place
 * @param {boolean} [fresh]
 */
async function follow(place, fresh = false) {
  clearTimeout(timer);
  const pairing = await ask('connect', { fresh });
  show(place, pairing);
  clearTimeout(timer);
  if (pairing.state === 'open') timer = setTimeout(() => follow(place), POLL_MS);
}

/**
 * @param {HTMLElement} place
 * @param {Pairing} pairing
 */
function show(place, pairing) {
  const known = JSON.stringify(pairing);
  if (place.dataset['shown'] === known) return; // drawn again, it would take the focus away
  place.dataset['shown'] = known;
  place.dataset['state'] = pairing.state;
  const { state, code, connect_url } = pairing;
  /** @type {HTMLElement[]} */
  const parts = [make('p', { id: 'said' }, words(pairing))];
  if (code) parts.push(make('p', { id: 'code' }, make('bdi', { dir: 'ltr' }, code)));
  if (connect_url) parts.push(button('open', t('connect_open'), () => chrome.tabs.create({ url: connect_url })));
  if (state === 'expired' || state === 'unreachable')
    parts.push(button('again', t(state === 'expired' ? 'connect_new' : 'connect_retry'), () => follow(place, true)));
  if (state === 'open') parts.push(make('p', { className: 'quiet' }, t('connect_wait')));
  place.replaceChildren(...parts);
}

/**
 * @param {string} id
 * @param {string} words
 * @param {() => unknown} act
 */
function button(id, words, act) {
  const node = make('button', { id, type: 'button' }, words);
  node.onclick = () => act();
  return node;
}

/** @param {Pairing} pairing */
function words({ state, email, server }) {
  if (state === 'open') return t('connect_how');
  if (state === 'expired') return t('connect_expired');
  if (state === 'unreachable') return t('connect_unreachable', server);
  return email ? t('connect_done', email) : t('connect_done_unknown');
}
