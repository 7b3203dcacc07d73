/** The popup's sentences: who, why, and what it is worth. First what happened, then what to do. */
import { amount, day, time } from '../shared/money.js';
import { ordinal, plural, refusalWords, t } from '../shared/text.js';

/**
 * @typedef {import('../shared/messages.js').View} View
 * @typedef {import('../shared/messages.js').Me} Me
 * @typedef {{payee: string, why: string, worth: string, thanks: string, until: string, act: 'connect' | 'again' | 'tell' | null}} Words
 */

/**
 * @param {View} view
 * @returns {Words}
 */
export function wordsFor(view) {
  const { kind, click, me } = view;
  const undoable = me && (kind === 'counts' || kind === 'promise');
  return {
    payee: kind === 'practice' ? t('practice_payee') : click?.owner?.name || siteOf(view),
    why: why(view),
    worth: worth(view),
    thanks: (kind === 'counts' && click?.thanks) || '',
    until: undoable ? t('until', day(me.ends_at)) : '',
    act: act(view),
  };
}

/**
 * What the reader may send to whoever makes the site: nobody but them does.
 * @param {View} view
 */
export function noteFor(view) {
  const { server } = view;
  return t('note', siteOf(view), `${server}/s/${siteOf(view)}`);
}

/**
 * @param {View} view
 * @returns {Words['act']}
 */
function act({ kind, click }) {
  if (kind === 'unconnected' || kind === 'disconnected') return 'connect';
  if (kind === 'undone') return 'again';
  return kind === 'promise' && !click?.shared ? 'tell' : null;
}

/** @param {View} view */
function siteOf({ click, url }) {
  return click?.site ?? new URL(url).host.replace(/^www\./, '');
}

/** @param {View} view */
function why(view) {
  const { kind, click, refusal, server, queue } = view;
  if (refusal) return refusalWords(refusal, siteOf(view));
  if (kind === 'counts') return t(click?.rule === 'author' ? 'why_author' : 'why_claimed', siteOf(view));
  if (kind === 'promise' && click?.shared) return t('why_shared', siteOf(view));
  if (kind === 'promise') return promiseWords(siteOf(view), click?.place);
  if (kind === 'waiting') return t(`why_${queue.reason}`, new URL(server).host, time(queue.next));
  return t(`why_${kind}`);
}

/**
 * @param {string} site
 * @param {number | undefined} place
 */
function promiseWords(site, place) {
  return place ? ordinal('why_promise', place, site) : t('why_promise', site);
}

/** @param {View} view */
function worth({ kind, me, queue }) {
  if (kind === 'promise') return t('worth_promise');
  if (kind === 'counts') return me ? shareWords(me) : '';
  return queue.length && kind !== 'sending' && kind !== 'practice' ? plural('waiting', queue.length) : '';
}

/** @param {Me} me */
function shareWords({ owners, share_micros, projected_share_micros, currency }) {
  if (!owners) return '';
  if (share_micros) return plural('worth', owners, amount(share_micros, currency));
  return projected_share_micros ? t('worth_no_money', amount(projected_share_micros, currency)) : t('worth_nothing');
}
