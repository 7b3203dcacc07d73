/** Amounts and dates as people read them. */
import { locale } from './text.js';

/**
 * Rounded down to the currency's smallest coin: nobody is shown money that does not move.
 * @param {number} micros
 * @param {string} currency
 */
export function amount(micros, currency) {
  const format = new Intl.NumberFormat(locale(), { style: 'currency', currency, currencyDisplay: 'narrowSymbol' });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  const coins = Math.floor(micros / 10 ** (6 - digits));
  const parts = format.formatToParts(coins / 10 ** digits);
  const symbol = parts.find(({ type }) => type === 'currency')?.value ?? currency;
  const number = parts.filter(({ type }) => type !== 'currency' && type !== 'literal').map(({ value }) => value);
  return `${number.join('')}\u00a0${symbol}`;
}

/** @param {string} instant  periods end by the server's calendar, UTC */
export function day(instant) {
  return new Intl.DateTimeFormat(locale(), { day: 'numeric', month: 'long', timeZone: 'UTC' }).format(
    new Date(instant),
  );
}

/** @param {string} period  `2026-11` */
export function month(period) {
  const date = new Date(`${period}-01T00:00:00Z`);
  return new Intl.DateTimeFormat(locale(), { month: 'long', year: 'numeric', timeZone: 'UTC' }).format(date);
}
