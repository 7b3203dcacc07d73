/** Settings: what a month is worth, connected as whom, what waits here, and which server. */
import { byId, dress } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { t } from '../shared/text.js';
import { showBudget } from './budget.js';
import { addServer, showSwitches } from './networks.js';
import { showQueue } from './queue.js';

const server = /** @type {HTMLInputElement} */ (byId('server'));
const atOnce = /** @type {HTMLInputElement} */ (byId('at_once'));

dress();
byId('form').onsubmit = save;
byId('disconnect').onclick = () => ask('disconnect');
byId('add').onsubmit = addServer;
atOnce.onchange = () => ask('countAtOnce', { at_once: atOnce.checked });
chrome.storage.onChanged.addListener(() => load());
void load().then((address) => {
  server.value = address;
});

async function load() {
  const { server: address, connected, me, waiting, queue, networks, at_once } = await ask('settings');
  byId('settings').dataset['state'] = connected ? 'connected' : 'unconnected';
  byId('connection').textContent = connectionWords(connected, queue.reason, me?.email);
  byId('connect').hidden = connected;
  byId('disconnect').hidden = !connected;
  byId('budget').hidden = !connected || !me;
  byId('none').hidden = waiting.length > 0;
  byId('keeps').hidden = !waiting.length || connected;
  showQueue(byId('waiting'), waiting, queue, address);
  showSwitches(byId('networks'), networks);
  atOnce.checked = at_once;
  if (connected && me) showBudget(byId('amount'), me);
  return address;
}

/**
 * @param {boolean} connected
 * @param {import('../shared/messages.js').Queue['reason']} reason
 * @param {string | undefined} email
 */
function connectionWords(connected, reason, email) {
  if (!connected) return t(reason === 'disconnected' ? 'month_disconnected' : 'settings_unconnected');
  return email ? t('connect_done', email) : t('connect_done_unknown');
}

/** @param {SubmitEvent} event */
async function save(event) {
  event.preventDefault();
  const { server: before } = await ask('settings');
  const accepted = await ask('moveTo', { server: server.value });
  const { server: now } = await ask('settings');
  server.setAttribute('aria-invalid', String(!accepted));
  if (accepted) server.value = now;
  const words = now === before ? t('settings_saved') : t('settings_moved', now);
  byId('said').textContent = accepted ? words : t('settings_bad');
}
