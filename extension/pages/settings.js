/** Settings: which server, connected as whom, and what waits here. */
import { byId, link, make, translate } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { t } from '../shared/text.js';

const server = /** @type {HTMLInputElement} */ (byId('server'));

translate();
byId('form').onsubmit = save;
byId('disconnect').onclick = () => ask('disconnect');
chrome.storage.onChanged.addListener(() => load());
void load().then((address) => {
  server.value = address;
});

async function load() {
  const { server: address, connected, email, waiting } = await ask('settings');
  byId('settings').dataset['state'] = connected ? 'connected' : 'unconnected';
  byId('connection').textContent = connectionWords(connected, email);
  byId('connect').hidden = connected;
  byId('disconnect').hidden = !connected;
  byId('none').hidden = waiting.length > 0;
  byId('keeps').hidden = !waiting.length || connected;
  byId('waiting').replaceChildren(...waiting.map(({ url, title }) => make('li', {}, link(url, title))));
  return address;
}

/**
 * @param {boolean} connected
 * @param {string | null} email
 */
function connectionWords(connected, email) {
  if (!connected) return t('settings_unconnected');
  return email ? t('settings_connected', email) : t('settings_connected_unknown');
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
