/** My month: who gets a share, what is promised, and what still waits in this browser. */
import { drawCake } from '../shared/cake.js';
import { byId, link, make, translate } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { amount, day, month as monthName } from '../shared/money.js';
import { plural, refusalWords, t } from '../shared/text.js';

/**
 * @typedef {import('../shared/messages.js').Month} Month
 * @typedef {import('../shared/messages.js').Me} Me
 * @typedef {import('../shared/messages.js').Click} Click
 * @typedef {import('../shared/messages.js').Waiting} Waiting
 */

translate();
sayWhy(new URLSearchParams(location.search).get('why'));
chrome.storage.onChanged.addListener((changes) => {
  if (Object.keys(changes).some((key) => key.startsWith('page:') || key === 'token')) void load();
});
void load();

/** @param {string | null} why  a press led here, from a page that cannot be flattred */
function sayWhy(why) {
  const words = why && t(`why_not_${why}`);
  byId('notice').textContent = words;
  byId('notice').hidden = !words;
}

async function load() {
  const shown = await ask('month');
  const { me, clicks, connected, server } = shown;
  byId('month').dataset['state'] = clicks ? 'shown' : connected ? 'unreached' : 'unconnected';
  byId('period').textContent = me ? monthName(me.period) : t('month_title');
  byId('worth').textContent = clicks && me ? worth(me) : '';
  byId('until').textContent = clicks?.length && me ? t('month_until', day(me.ends_at)) : '';
  byId('trouble').textContent = trouble(shown);
  byId('connect').hidden = connected;
  byId('money').onclick = () => chrome.tabs.create({ url: `${server}/money` });
  showLists(shown);
}

/** @param {Me} me */
function worth({ owners, share_micros, projected_share_micros, currency }) {
  if (!owners) return t('month_nobody');
  if (share_micros) return plural('month_worth', owners, amount(share_micros, currency));
  return plural('month_worth_no_money', owners, amount(projected_share_micros, currency));
}

/** @param {Month} month */
function trouble({ clicks, connected, server, waiting }) {
  if (!connected) return t('month_unconnected');
  if (!clicks) return t('month_unreached', server);
  return clicks.length || waiting.length ? '' : t('month_empty');
}

/** @param {Month} month */
function showLists({ clicks, waiting }) {
  const counts = clicks?.filter(({ state }) => state === 'counts') ?? [];
  const promises = clicks?.filter(({ state }) => state === 'promise') ?? [];
  list('waiting', t('month_waiting_why'), waiting.map(waitingRow));
  list('counts', '', counts.map(clickRow));
  list('promises', t('month_promises_why'), promises.map(clickRow));
  showCake(counts);
}

/** @param {Click[]} counts */
function showCake(counts) {
  const people = new Map([...counts].reverse().map((click) => [click.owner?.public_id, click]));
  const wedges = [...people.values()].map(({ owner, site }) => ({ name: owner?.name || site, mine: false }));
  const label = people.size ? plural('cake', people.size) : t('cake_whole');
  byId('cake').replaceChildren(drawCake({ people: people.size, wedges, promise: false }, label));
}

/**
 * @param {'waiting' | 'counts' | 'promises'} id
 * @param {string} why
 * @param {HTMLElement[]} rows
 */
function list(id, why, rows) {
  const heads = ['month_page', 'month_payee'].map((name) => make('th', { scope: 'col' }, t(name)));
  heads.push(make('th', { scope: 'col', className: 'last' }, t('month_action')));
  const table = make('table', {}, make('thead', {}, make('tr', {}, ...heads)), make('tbody', {}, ...rows));
  const section = byId(id);
  section.hidden = !rows.length;
  section.replaceChildren(make('h2', {}, t(`month_${id}`)), make('p', { className: 'quiet' }, why), table);
}

/** @param {Click} click */
function clickRow(click) {
  const undo = button(t('undo'), t('undo_page', click.title || click.url), () => ask('undoListed', { click }));
  return row(click, click.owner?.name || click.site, undo);
}

/** @param {Waiting} waiting */
function waitingRow(waiting) {
  const { url, title, undo, refusal } = waiting;
  const site = new URL(url).host;
  if (refusal)
    return row(
      waiting,
      refusalWords(refusal, site),
      button(t('seen'), t('seen'), () => ask('seen', { url })),
    );
  if (undo) return row(waiting, site, t('undoing'));
  return row(
    waiting,
    site,
    button(t('undo'), t('undo_page', title || url), () => ask('undo', { url })),
  );
}

/**
 * @param {{url: string, title: string}} page
 * @param {string} who
 * @param {Node | string} action
 */
function row({ url, title }, who, action) {
  const cells = [make('td', {}, link(url, title)), make('td', {}, who), make('td', { className: 'last' }, action)];
  return make('tr', {}, ...cells);
}

/**
 * @param {string} words
 * @param {string} label
 * @param {() => Promise<unknown>} act
 */
function button(words, label, act) {
  const node = make('button', { type: 'button', className: 'link', ariaLabel: label }, words);
  node.onclick = () => {
    node.disabled = true;
    return act();
  };
  return node;
}
