import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grouped, matching } from '../../extension/pages/list.js';
import { Background } from './background.js';

const ALICE = 'https://alice.example.org/bread';
const BEN = 'https://ben.example.org/news';
const NOBODY = 'https://nobody.example.org/cake';

/** @param {any} month */
const urls = ({ clicks }) => clicks?.map((/** @type {{url: string}} */ { url }) => url) ?? null;

/** Two browsers of one reader. */
async function two() {
  const [here, there] = [await Background.started(), await Background.started()];
  there.server = here.server;
  return { here, there };
}

/** @param {Background} background  the one that the reader turns to */
async function at(background) {
  await background.restart();
  return background;
}

test('two browsers of one reader show one list', async () => {
  const { here, there } = await two();
  await (await at(there)).press(ALICE);
  await (await at(here)).press(BEN);

  await here.ask('fresh');
  assert.deepEqual(urls(await here.ask('month')), [BEN, ALICE]);
  await (await at(there)).ask('fresh');
  assert.deepEqual(urls(await there.ask('month')), [BEN, ALICE]);
});

test('what was taken back in another browser is off the list in this one, too', async () => {
  const { here, there } = await two();
  await (await at(here)).press(ALICE);
  await (await at(there)).press(ALICE);
  await there.undo(ALICE);

  await (await at(here)).ask('fresh');
  assert.deepEqual(urls(await here.ask('month')), []);
  assert.equal((await here.ask('look', { url: ALICE })).kind, 'undone');
});

test('the cake has a wedge with a name for everybody, also for who was flattred in another browser', async () => {
  const { here, there } = await two();
  await (await at(there)).press(ALICE);
  await (await at(here)).press(BEN);

  const { wedges } = await here.ask('look', { url: BEN });
  assert.deepEqual(wedges, [
    { name: 'Owner of alice.example.org', mine: false },
    { name: 'Owner of ben.example.org', mine: true },
  ]);
});

test('without a network the list is what this browser knows, with what it did since', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  await background.press(BEN);
  await background.ask('fresh');
  background.server.trouble = 'down';
  await background.undo(ALICE);

  assert.equal(await background.ask('fresh'), false);
  assert.deepEqual(urls(await background.ask('month')), [BEN]);
});

test('a list of last month is not shown in this one', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  await background.ask('fresh');
  background.server.period = '2026-12';
  background.server.clicks.clear();

  await background.ask('fresh');
  assert.deepEqual(urls(await background.ask('month')), []);
});

test('an undo that is on its way while the list is asked for is not shown as flattred', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  const release = background.server.hold();
  const asked = background.ask('fresh');
  await background.ask('undo', { url: ALICE });
  release();
  await asked;
  await background.quiet();

  assert.equal((await background.ask('look', { url: ALICE })).kind, 'undone');
  assert.deepEqual(urls(await background.ask('month')), []);
});

const CLICKS = /** @type {any[]} */ ([
  { url: NOBODY, title: 'Kuchen', site: 'nobody.example.org', owner: null, clicked_at: '2026-11-03T23:59:00Z' },
  {
    url: ALICE,
    title: 'Crème brûlée',
    site: 'a.org',
    owner: { public_id: '1', name: 'Zoë' },
    clicked_at: '2026-11-03T01:00:00Z',
  },
  { url: BEN, title: '', site: 'ben.org', owner: { public_id: '2', name: 'Ben' }, clicked_at: '2026-11-02T01:00:00Z' },
  {
    url: 'https://zoe.org/2',
    title: 'Page 10',
    site: 'zoe.org',
    owner: { public_id: '1', name: 'Zoë' },
    clicked_at: '2026-11-01T01:00:00Z',
  },
  {
    url: 'https://zoe.org/3',
    title: 'Page 9',
    site: 'zoe.org',
    owner: { public_id: '1', name: 'Zoë' },
    clicked_at: '2026-11-01T00:00:00Z',
  },
]);
/** @param {'person' | 'page' | 'day'} by */
const shown = (by) => grouped(CLICKS, by, 'en').map(({ name, clicks }) => [name, clicks.map((c) => c.title || c.url)]);

test('by person, the pages of one owner stand together, whatever the site', () => {
  assert.deepEqual(shown('person'), [
    ['Ben', [BEN]],
    ['nobody.example.org', ['Kuchen']],
    ['Zoë', ['Crème brûlée', 'Page 10', 'Page 9']],
  ]);
});

test('by page, titles are in the order of the language, and numbers in the order of numbers', () => {
  assert.deepEqual(shown('page'), [['', ['Crème brûlée', BEN, 'Kuchen', 'Page 9', 'Page 10']]]);
});

test('by day, the newest day comes first', () => {
  assert.deepEqual(shown('day'), [
    ['2026-11-03', ['Kuchen', 'Crème brûlée']],
    ['2026-11-02', [BEN]],
    ['2026-11-01', ['Page 10', 'Page 9']],
  ]);
});

for (const [text, expected] of /** @type {[string, number][]} */ ([
  ['', 5],
  ['creme', 1],
  ['ZOE page', 2],
  ['ben', 1],
  ['nobody.example', 1],
  ['zoe kuchen', 0],
])) {
  test(`searching for ${JSON.stringify(text)} finds ${expected}`, () => {
    assert.equal(matching(CLICKS, text).length, expected);
  });
}
