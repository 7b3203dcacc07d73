/** A month that pays nobody: what becomes of it is the reader's choice, for as long as it is empty. */
import { make } from './dom.js';
import { ask } from './messages.js';
import { day } from './money.js';
import { plural, t } from './text.js';

/**
 * @typedef {import('./messages.js').Me} Me
 * @typedef {import('./messages.js').Ending} Ending
 */

/**
 * @param {HTMLElement} place
 * @param {Me | null} me
 */
export function showEnding(place, me) {
  const shown = me && isOpen(me) ? me : null;
  const known = JSON.stringify(shown && [shown.empty_month, shown.empty_month_choices, shown.repeat_owners]);
  if (place.dataset['shown'] === known) return; // the reader may be choosing
  place.dataset['shown'] = known;
  place.replaceChildren(...(shown ? [line(shown)] : []));
}

/** @param {Me} me  of a server that offers the choice */
function isOpen({ owners, empty_month, empty_month_choices }) {
  return owners === 0 && Boolean(empty_month) && (empty_month_choices?.length ?? 0) > 1;
}

/** @param {Me} me */
function line(me) {
  const select = make('select', {}, ...(me.empty_month_choices ?? []).map((choice) => option(choice, me)));
  const failed = make('span', { role: 'status' });
  select.value = me.empty_month ?? 'keep';
  select.onchange = async () => {
    const trouble = await ask('decide', { empty_month: /** @type {Ending} */ (select.value) });
    failed.textContent = trouble ? t('not_saved') : '';
    if (trouble) select.value = me.empty_month ?? 'keep';
  };
  return make('label', { className: 'ending' }, t('ending', day(me.ends_at)), select, failed);
}

/**
 * @param {Ending} value
 * @param {Me} me
 */
function option(value, { repeat_owners = 0, charity }) {
  const words = {
    keep: t('ending_keep'),
    repeat: repeat_owners ? plural('ending_repeat', repeat_owners) : t('ending_repeat_nobody'),
    charity: t('ending_charity', charity || t('ending_charity_unnamed')),
  };
  return make('option', { value }, words[value] ?? value);
}
