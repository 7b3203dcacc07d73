/** What a month is worth to the reader: said once, changed any time. */
import { make } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { amount, bareAmount, microsOf } from '../shared/money.js';
import { t } from '../shared/text.js';

/** @typedef {import('../shared/messages.js').Me} Me */

/**
 * @param {HTMLElement} place
 * @param {Me} me
 * @param {() => unknown} [done]
 */
export function showBudget(place, me, done) {
  if (place.dataset['shown'] === String(me.budget_micros)) return; // the reader may be typing
  place.dataset['shown'] = String(me.budget_micros);
  const input = make('input', { type: 'text', inputMode: 'decimal', autocomplete: 'off', className: 'amount' });
  input.value = bareAmount(me.budget_micros, me.currency);
  const said = make('p', { className: 'quiet', role: 'status' });
  const label = make('label', {}, make('span', {}, t('budget_label', me.currency)), ' ', input);
  const form = make('form', { className: 'row', noValidate: true }, label, make('button', {}, t('settings_save')));
  form.onsubmit = async (event) => {
    event.preventDefault();
    said.textContent = await save(input, me);
    if (input.ariaInvalid === 'false') done?.();
  };
  place.replaceChildren(form, said);
}

/**
 * @param {HTMLInputElement} input
 * @param {Me} me
 * @returns {Promise<string>}  what to say
 */
async function save(input, { currency }) {
  const budget_micros = microsOf(input.value);
  input.ariaInvalid = String(budget_micros === null);
  if (budget_micros === null) return t('budget_bad', bareAmount(5_000_000, currency));
  const trouble = await ask('decide', { budget_micros });
  input.ariaInvalid = String(trouble !== null);
  return trouble ? t('not_saved') : t('budget_saved', amount(budget_micros, currency));
}
