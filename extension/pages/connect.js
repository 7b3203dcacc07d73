/** Connect this browser: shows the code, and notices when it has been typed. */
import { byId, translate } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { t } from '../shared/text.js';

/** @typedef {import('../shared/messages.js').Pairing} Pairing */

const POLL_MS = 2000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

translate();
byId('again').onclick = () => follow(true);
// In a tab behind others timers sleep for up to a minute: look at once when the reader comes back.
document.addEventListener('visibilitychange', () => document.hidden || follow());
chrome.storage.onChanged.addListener((changes) => changes['token'] && follow());
void follow();

/** @param {boolean} [fresh] */
async function follow(fresh = false) {
  clearTimeout(timer);
  const pairing = await ask('connect', { fresh });
  show(pairing);
  clearTimeout(timer);
  if (pairing.state === 'open') timer = setTimeout(() => follow(), POLL_MS);
}

/** @param {Pairing} pairing */
function show(pairing) {
  const { state, code = '', connect_url } = pairing;
  byId('pairing').dataset['state'] = state;
  byId('words').textContent = words(pairing);
  byId('code').textContent = code;
  byId('code').hidden = !code;
  byId('open').hidden = !connect_url;
  byId('open').onclick = () => chrome.tabs.create({ url: connect_url ?? '' });
  byId('again').hidden = state !== 'expired' && state !== 'unreachable';
  byId('again').textContent = t(state === 'expired' ? 'connect_new' : 'connect_retry');
  byId('more').textContent = state === 'open' ? t('connect_wait') : state === 'connected' ? t('connect_done_why') : '';
}

/** @param {Pairing} pairing */
function words({ state, email, server }) {
  if (state === 'open') return t('connect_how');
  if (state === 'expired') return t('connect_expired');
  if (state === 'unreachable') return t('connect_unreachable', server);
  return email ? t('connect_done', email) : t('connect_done_unknown');
}
