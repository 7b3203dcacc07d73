/** Words in the reader's language, with plurals. */

/**
 * @param {string} name  of a message in `_locales`; one that does not exist is ''
 * @param {(string | number)[]} values
 */
export function t(name, ...values) {
  return chrome.i18n.getMessage(name, values.map(String));
}

/** The language that the words are in, which need not be the browser's: numbers and dates follow the words. */
export function locale() {
  return t('locale');
}

/** Which way the words run: `ltr` or `rtl`. */
export function direction() {
  return t('direction');
}

/**
 * @param {string} name  of messages that end in the language's plural forms: `waiting_one`, `waiting_other`
 * @param {number} n
 * @param {(string | number)[]} values
 */
export function plural(name, n, ...values) {
  const number = new Intl.NumberFormat(locale()).format(n);
  return t(`${name}_${new Intl.PluralRules(locale()).select(n)}`, number, ...values);
}

/**
 * @param {string} name  of messages for 1st, 2nd, 3rd, 4th: `nth_one` …
 * @param {number} n
 * @param {(string | number)[]} values
 */
export function ordinal(name, n, ...values) {
  return t(`${name}_${new Intl.PluralRules(locale(), { type: 'ordinal' }).select(n)}`, n, ...values);
}

/**
 * @param {import('./messages.js').Refusal} refusal
 * @param {string} site
 */
export function refusalWords({ code, detail }, site) {
  return t(`refused_${code}`, site) || t('refused', detail || code);
}
