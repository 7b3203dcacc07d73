/** What waits in this browser, why, and until when. */
import { link, make, redraw } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { time } from '../shared/money.js';
import { refusalWords, t } from '../shared/text.js';

/**
 * @typedef {import('../shared/messages.js').Waiting} Waiting
 * @typedef {import('../shared/messages.js').Queue} Queue
 */

/**
 * @param {HTMLElement} place
 * @param {Waiting[]} waiting
 * @param {Queue} queue
 * @param {string} server
 */
export function showQueue(place, waiting, queue, server) {
  redraw(place, [waiting, queue], () => [
    ...(queue.length ? [reason(queue, server)] : []),
    make('table', {}, make('tbody', {}, ...waiting.map(row))),
  ]);
}

/**
 * @param {Queue} queue
 * @param {string} server
 */
function reason({ reason, next }, server) {
  const words = t(`queue_${reason}`, new URL(server).host);
  const line = make('p', { className: 'quiet' }, next ? `${words} ${t('queue_next', time(next))} ` : words);
  if (next) line.append(button('retry', t('queue_retry'), t('queue_retry'), () => ask('retry')));
  return line;
}

/** @param {Waiting} waiting */
function row(waiting) {
  const { url, title, undo, refusal } = waiting;
  const who = refusal ? refusalWords(refusal, new URL(url).host) : undo ? t('undoing') : new URL(url).host;
  const cells = [make('td', { className: 'page' }, link(url, title)), make('td', { className: 'payee' }, who)];
  return make('tr', {}, ...cells, make('td', { className: 'last' }, action(waiting)));
}

/** @param {Waiting} waiting */
function action({ url, title, undo, refusal }) {
  if (refusal) return button('seen', t('seen'), t('seen_page', title || url), () => ask('seen', { url }));
  if (undo) return '';
  return button('undo', t('undo'), t('undo_page', title || url), () => ask('undo', { url }));
}

/**
 * @param {string} name
 * @param {string} words
 * @param {string} label
 * @param {() => Promise<unknown>} act
 */
function button(name, words, label, act) {
  const node = make('button', { type: 'button', className: `link ${name}`, ariaLabel: label }, words);
  node.onclick = () => act();
  return node;
}
