/** My month: who gets a share, what is promised, how it ends, and what still waits in this browser. */
import { drawCake } from '../shared/cake.js';
import { byId, dress, link, make, redraw } from '../shared/dom.js';
import { showEnding } from '../shared/ending.js';
import { showLikes, sourcesOf } from '../shared/likes.js';
import { ask } from '../shared/messages.js';
import { amount, day, month as monthName } from '../shared/money.js';
import { locale, plural, t } from '../shared/text.js';
import { grouped, matching, nameOf, personOf } from './list.js';
import { showQueue } from './queue.js';

/**
 * @typedef {import('../shared/messages.js').Month} Month
 * @typedef {import('../shared/messages.js').Me} Me
 * @typedef {import('../shared/messages.js').Click} Click
 * @typedef {import('../shared/messages.js').Like} Like
 */

const words = /** @type {HTMLInputElement} */ (byId('words'));
const by = /** @type {HTMLSelectElement} */ (byId('by'));

let reached = true;
/** @type {Click[]} */
let clicks = [];
/** @type {Map<string, Like>} by page: what became of likes */
let counted = new Map();
/** @type {Me | null} */
let me = null;

dress();
sayWhy(new URLSearchParams(location.search).get('why'));
words.oninput = showLists;
by.onchange = showLists;
chrome.storage.onChanged.addListener(() => load());
document.addEventListener('visibilitychange', () => document.hidden || refresh());
void load().then(refresh);

/** @param {string | null} why  a press led here, from a page that cannot be flattred */
function sayWhy(why) {
  const words = why && t(`why_not_${why}`);
  byId('notice').textContent = words;
  byId('notice').hidden = !words;
}

/** What this browser knows is shown at once; then the server is asked what others did. */
async function refresh() {
  reached = await ask('fresh');
  await load();
  byId('month').dataset['asked'] = String(reached);
}

async function load() {
  const shown = await ask('month');
  const { connected, server, queue, waiting } = shown;
  me = connected ? shown.me : null;
  clicks = shown.clicks ?? [];
  counted = new Map(shown.likes.filter((like) => like.counted).map((like) => [like.page.url, like]));
  byId('month').dataset['state'] = connected ? (reached ? 'shown' : 'unreached') : 'unconnected';
  byId('period').textContent = me ? monthName(me.period) : t('month_title');
  byId('worth').textContent = me ? worth(me) : '';
  byId('until').textContent = clicks.length && me ? t('month_until', day(me.ends_at)) : '';
  byId('trouble').textContent = trouble(shown);
  byId('connect').hidden = connected;
  byId('money').onclick = () => chrome.tabs.create({ url: `${server}/money` });
  byId('queue').hidden = !waiting.length;
  showEnding(byId('ending'), me);
  showQueue(byId('waiting'), waiting, queue, server);
  showLikes(
    byId('likes'),
    shown.likes.filter((like) => !like.counted),
  );
  showLists();
  showCake();
}

/** @param {Me} me  as it ends, if nothing more is pressed */
function worth({ owners, share_micros, projected_share_micros, currency, ends_at }) {
  if (!owners) return t('month_nobody');
  if (share_micros) return plural('month_worth', owners, amount(share_micros, currency), day(ends_at));
  if (!projected_share_micros) return plural('month_worth_nothing', owners);
  return plural('month_worth_no_money', owners, amount(projected_share_micros, currency));
}

/** @param {Month} month */
function trouble({ connected, server, queue }) {
  if (!connected) return t(queue.reason === 'disconnected' ? 'month_disconnected' : 'month_unconnected');
  if (!reached) return t('month_unreached', new URL(server).host);
  return clicks.length || queue.length ? '' : t('month_empty');
}

function showLists() {
  const found = matching(clicks, words.value);
  byId('find').hidden = !clicks.length;
  byId('found').textContent = words.value.trim() ? plural('month_found', found.length) : '';
  list(
    'counts',
    '',
    found.filter(({ state }) => state === 'counts'),
  );
  list(
    'promises',
    t('month_promises_why'),
    found.filter(({ state }) => state === 'promise'),
  );
}

function showCake() {
  const counts = clicks.filter(({ state }) => state === 'counts');
  const people = new Map([...counts].reverse().map((click) => [click.owner?.public_id, personOf(click)]));
  const wedges = [...people.values()].map((name) => ({ name, mine: false }));
  const label = people.size ? plural('cake', people.size) : t('cake_whole');
  byId('cake').replaceChildren(drawCake({ people: people.size, wedges, promise: false }, label));
}

/**
 * @param {'counts' | 'promises'} id
 * @param {string} why
 * @param {Click[]} clicks
 */
function list(id, why, clicks) {
  const order = /** @type {import('./list.js').By} */ (by.value);
  const columns = ['page', ...(order === 'person' ? [] : ['payee']), ...(order === 'day' ? [] : ['day'])];
  const heads = columns.map((name) => make('th', { scope: 'col', className: name }, t(`month_${name}`)));
  heads.push(make('th', { scope: 'col', className: 'last' }, t('month_action')));
  const body = (/** @type {import('./list.js').Group} */ { name, clicks }) => [
    ...(name ? [heading(order === 'day' ? day(name) : name, heads.length)] : []),
    ...clicks.map((click) => row(click, columns)),
  ];
  byId(id).hidden = !clicks.length;
  redraw(byId(id), [clicks, order, [...counted]], () => [
    make('h2', {}, t(`month_${id}`)),
    make('p', { className: 'quiet' }, why),
    make(
      'table',
      {},
      make('thead', {}, make('tr', {}, ...heads)),
      ...grouped(clicks, order, locale()).map((group) => make('tbody', {}, ...body(group))),
    ),
  ]);
}

/**
 * @param {string} name
 * @param {number} colSpan
 */
function heading(name, colSpan) {
  return make('tr', {}, make('th', { scope: 'rowgroup', className: 'group', colSpan }, make('bdi', {}, name)));
}

/**
 * @param {Click} click
 * @param {string[]} columns
 */
function row(click, columns) {
  const node = make(
    'button',
    { type: 'button', className: 'link', ariaLabel: t('undo_page', nameOf(click)) },
    t('undo'),
  );
  node.onclick = () => ask('undoListed', { click });
  const cells = columns.map((name) => make('td', { className: name }, cell(click, name)));
  return make('tr', {}, ...cells, make('td', { className: 'last' }, node));
}

/**
 * @param {Click} click
 * @param {string} column
 */
function cell(click, column) {
  const like = counted.get(click.url);
  if (column === 'page' && like)
    return make('span', {}, link(click.url, click.title), make('span', { className: 'source' }, sourcesOf(like)));
  if (column === 'page') return link(click.url, click.title);
  return column === 'day' ? day(click.clicked_at) : make('bdi', {}, personOf(click));
}
