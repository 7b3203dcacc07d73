/** The switches of the networks. Only the browser can let us onto a site, and it asks the reader itself. */
import { byId, make, redraw } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { day } from '../shared/money.js';
import { t } from '../shared/text.js';

/** @typedef {import('../shared/messages.js').Switch} Switch */

/**
 * @param {HTMLElement} place
 * @param {Switch[]} networks
 */
export function showSwitches(place, networks) {
  const { id } = document.activeElement ?? {};
  redraw(place, networks, () => networks.map(row));
  if (id && document.activeElement === document.body) document.getElementById(id)?.focus(); // drawn anew under the keyboard
}

/** @param {Switch} network */
function row({ host, id, name, on, silent_since }) {
  const box = make('input', { type: 'checkbox', role: 'switch', checked: on, id: `on_${host}` });
  const why = make('p', { className: 'quiet', id: `why_${host}` }, t(`network_${id}`));
  const said = silent_since ? t('network_silent', name, day(new Date(silent_since).toISOString())) : '';
  box.setAttribute('aria-describedby', why.id);
  box.onchange = async () => {
    box.checked = await turn(host, box.checked);
  };
  return make(
    'li',
    {},
    make('label', { className: 'switch' }, box, make('span', {}, name)),
    why,
    ...(said ? [make('p', { className: 'silent' }, said)] : []),
  );
}

/**
 * Nothing may be awaited before the browser is asked: it wants to be asked from the reader's own press.
 * @param {string} host
 * @param {boolean} on
 * @returns {Promise<boolean>}  whether it is on now
 */
async function turn(host, on) {
  const isOn = on && (await chrome.permissions.request({ origins: [`https://${host}/*`] }));
  await ask('notice', { host, on: isOn });
  return isOn;
}

/** @param {SubmitEvent} event */
export async function addServer(event) {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (byId('host'));
  const host = hostIn(input.value);
  input.setAttribute('aria-invalid', String(!host));
  if (!host) {
    byId('added').textContent = t('settings_mastodon_bad');
    return;
  }
  const isOn = await turn(host, true);
  byId('added').textContent = isOn ? '' : t('settings_mastodon_refused', host);
  if (isOn) input.value = '';
}

/**
 * @param {string} text  `mastodon.social`, an address on it, or `@me@mastodon.social`
 * @returns {string | null}
 */
export function hostIn(text) {
  const bare = text
    .trim()
    .replace(/^@?[^@/]*@/, '')
    .replace(/^(https?:\/\/)?/, 'https://');
  try {
    const { host, hostname } = new URL(bare);
    return /^[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]+$/.test(hostname) ? host.replace(/:.*/, '') : null;
  } catch {
    return null;
  }
}
