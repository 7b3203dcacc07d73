/** Amounts, dates and times as people read them, and amounts as they type them. */
import { locale } from './text.js';

/**
 * Rounded down to the currency's smallest coin: nobody is shown money that does not move.
 * @param {number} micros
 * @param {string} currency
 */
export function amount(micros, currency) {
  const parts = inCoins(micros, currency);
  const symbol = parts.find(({ type }) => type === 'currency')?.value ?? currency;
  return `${numberIn(parts)}\u00a0${symbol}`;
}

/**
 * The same without the currency, for a field to type into.
 * @param {number} micros
 * @param {string} currency
 */
export function bareAmount(micros, currency) {
  return numberIn(inCoins(micros, currency));
}

/**
 * @param {number} micros
 * @param {string} currency
 */
function inCoins(micros, currency) {
  const format = new Intl.NumberFormat(locale(), { style: 'currency', currency, currencyDisplay: 'narrowSymbol' });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  const coins = Math.floor(micros / 10 ** (6 - digits));
  return format.formatToParts(coins / 10 ** digits);
}

/** @param {Intl.NumberFormatPart[]} parts */
function numberIn(parts) {
  return parts
    .filter(({ type }) => type !== 'currency' && type !== 'literal')
    .map(({ value }) => value)
    .join('');
}

/**
 * @param {string} text  `5`, `5.00` or `5,00`: people type the comma that their keyboard has
 * @returns {number | null}  micros; null: no amount
 */
export function microsOf(text) {
  const [, whole, coins = ''] = /^\s*(\d{1,7})(?:[.,](\d{1,2}))?\s*$/.exec(text) ?? [];
  return whole === undefined ? null : Number(whole) * 1_000_000 + Number(coins.padEnd(2, '0')) * 10_000;
}

/** @param {string} instant  periods end by the server's calendar, UTC */
export function day(instant) {
  const format = new Intl.DateTimeFormat(locale(), { day: 'numeric', month: 'long', timeZone: 'UTC' });
  const text = format.format(new Date(instant));
  return locale() === 'fr' ? text.replace(/^1 /, '1er ') : text; // Intl does not know that the French count this one
}

/** @param {string} period  `2026-11` */
export function month(period) {
  const date = new Date(`${period}-01T00:00:00Z`);
  return new Intl.DateTimeFormat(locale(), { month: 'long', year: 'numeric', timeZone: 'UTC' }).format(date);
}

/** @param {number | null} instant  by the reader's own clock */
export function time(instant) {
  return new Intl.DateTimeFormat(locale(), { timeStyle: 'short' }).format(instant ?? Date.now());
}
