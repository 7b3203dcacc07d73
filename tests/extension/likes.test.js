import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NETWORKS } from '../../extension/networks/index.js';
import { hostIn } from '../../extension/pages/networks.js';
import { Background } from './background.js';

const BREAD = 'https://github.com/alice/bread';
const ON_GITHUB = { url: 'https://github.com/alice/bread?tab=readme' };
const STAR = { act: 'star', work: { url: BREAD, title: 'alice/bread' }, page: { url: BREAD, title: 'alice/bread' } };

/** Likes are noticed on a host, or on several. */
async function noticing(/** @type {string[]} */ ...hosts) {
  const background = await Background.started();
  for (const host of hosts) {
    background.chrome.granted.add(`https://${host}/*`);
    await background.ask('notice', { host, on: true });
  }
  await background.quiet();
  return background;
}

/** @param {Background} background */
async function listed(background) {
  return (await background.ask('month')).likes;
}

/** @param {any} background */
async function waiting(background) {
  return (await listed(background))
    .filter((/** @type {any} */ like) => !like.counted)
    .map((/** @type {any} */ { page }) => page.url);
}

test('a like waits for the reader, and nothing is sent', async () => {
  const background = await noticing('github.com');

  const heard = await background.hear('liked', STAR, ON_GITHUB);

  assert.equal(heard, true);
  assert.deepEqual(await waiting(background), [BREAD]);
  assert.deepEqual(background.server.log, []);
  assert.equal(background.chrome.badge, '');
});

test('a like that is counted is a press, and goes with the like', async () => {
  const background = await noticing('github.com');
  await background.hear('liked', STAR, ON_GITHUB);

  await background.ask('countLikes', { urls: [BREAD] });
  await background.quiet();
  assert.deepEqual([...background.server.clicks.keys()], [BREAD]);
  assert.deepEqual(await waiting(background), []);

  await background.hear('unliked', STAR, ON_GITHUB);
  assert.equal(background.server.clicks.size, 0);
  assert.deepEqual((await background.ask('month')).likes, []);
});

test('likes count at once where the reader wants that', async () => {
  const background = await noticing('github.com');
  await background.ask('countAtOnce', { at_once: true });

  await background.hear('liked', STAR, ON_GITHUB);
  assert.deepEqual([...background.server.clicks.keys()], [BREAD]);

  await background.undo(BREAD);
  await background.hear('liked', STAR, ON_GITHUB);
  assert.deepEqual([...background.server.clicks.keys()], [BREAD], 'liked anew after it was taken back');
});

test('a page flattred by hand is not listed, and stays when the like goes', async () => {
  const background = await noticing('github.com');
  await background.press(BREAD);

  await background.hear('liked', STAR, ON_GITHUB);
  assert.equal(background.chrome.kept.has(`like:${BREAD}`), false);

  await background.hear('unliked', STAR, ON_GITHUB);
  assert.deepEqual([...background.server.clicks.keys()], [BREAD]);
});

test('a page pressed by hand while its like waits is listed no more', async () => {
  const background = await noticing('github.com');
  await background.hear('liked', STAR, ON_GITHUB);

  await background.press(BREAD);

  assert.deepEqual(await waiting(background), []);
});

test('two works of one page are one like, which stays until both are taken back', async () => {
  const background = await noticing('www.youtube.com');
  const sender = { url: 'https://www.youtube.com/watch?v=1' };
  const page = { url: 'https://www.youtube.com/@alice', title: 'Alice' };
  const like = (/** @type {number} */ n) => ({
    act: 'like',
    work: { url: `https://www.youtube.com/watch?v=${n}`, title: '' },
    page,
  });
  await background.hear('liked', like(1), sender);
  await background.hear('liked', like(1), sender);
  await background.hear('liked', like(2), sender);
  await background.ask('countLikes', { urls: [page.url] });
  await background.quiet();

  await background.hear('unliked', like(1), sender);
  assert.equal(background.server.clicks.size, 1);
  await background.hear('unliked', like(2), sender);
  assert.equal(background.server.clicks.size, 0);
  assert.ok(!JSON.stringify(background.server.log).includes('watch'), 'the videos stay here');
});

test('the reader can clear what waits, and undo what was counted', async () => {
  const background = await noticing('github.com');
  await background.hear('liked', STAR, ON_GITHUB);
  await background.ask('countLikes', { urls: [BREAD] });
  await background.quiet();

  await background.ask('uncountLikes', { urls: [BREAD] });
  await background.quiet();
  assert.equal(background.server.clicks.size, 0);
  assert.deepEqual(await waiting(background), [BREAD]);

  const [like] = await listed(background);
  await background.ask('clearLikes', { urls: [BREAD] });
  assert.deepEqual(await waiting(background), []);
  await background.ask('restoreLikes', { likes: [like] });
  assert.deepEqual(await listed(background), [like]);
});

test('what was liked anew after it was cleared stays as it is when that is undone', async () => {
  const background = await noticing('github.com');
  await background.hear('liked', STAR, ON_GITHUB);
  const old = await listed(background);
  await background.ask('clearLikes', { urls: [BREAD] });
  await background.hear('liked', STAR, ON_GITHUB);
  await background.ask('countLikes', { urls: [BREAD] });
  await background.quiet();

  await background.ask('restoreLikes', { likes: old });
  assert.deepEqual(await waiting(background), [], 'it counts already');
  assert.deepEqual(background.server.changes, ['POST']);
});

test('what was counted last month is not taken back this month', async () => {
  const background = await noticing('github.com');
  await background.hear('liked', STAR, ON_GITHUB);
  await background.ask('countLikes', { urls: [BREAD] });
  await background.quiet();
  const entry = background.chrome.kept.get(`page:${BREAD}`);
  background.chrome.kept.set(`page:${BREAD}`, { ...entry, period: '2026-10' });

  await background.hear('unliked', STAR, ON_GITHUB);

  assert.deepEqual(background.server.changes, ['POST']);
});

for (let calls = 0; calls < 40; calls += 1) {
  test(`counting stopped after ${calls} calls and done again counts once`, async () => {
    const background = await noticing('github.com');
    await background.hear('liked', STAR, ON_GITHUB);
    background.chrome.stopAfter(calls, () => background.stop());

    void background.ask('countLikes', { urls: [BREAD] }).catch(() => undefined);
    await background.quiet();
    background.chrome.stopAt = null;
    await background.restart();
    if ((await waiting(background)).length) await background.ask('countLikes', { urls: [BREAD] });
    await background.quiet();

    assert.deepEqual([...background.server.clicks.keys()], [BREAD]);
  });
}

test('only a page of a network that is on is heard, and only of what is its own', async () => {
  const background = await noticing('github.com', 'mastodon.example.org');
  const refused = [
    { url: 'https://x.com/home' },
    { url: 'http://github.com/alice/bread' },
    { url: 'https://github.com.example.org/' },
    { ...ON_GITHUB, frameId: 3 },
  ];
  for (const sender of refused) assert.equal(await background.hear('liked', STAR, sender), false, sender.url);
  const elsewhere = { ...STAR, page: { url: 'https://mallory.example.org/', title: '' } };
  await background.hear('liked', elsewhere, ON_GITHUB);
  await background.hear('liked', { ...STAR, page: { url: 'https://github.com/settings', title: '' } }, ON_GITHUB);
  await background.hear('liked', elsewhere, { url: 'https://mastodon.example.org/home' });

  assert.deepEqual(await waiting(background), []);
});

test('a script in a page can ask for nothing else, and a page of ours cannot like', async () => {
  const background = await noticing('github.com');
  const messages = ['press', 'moveTo', 'countLikes', 'countAtOnce', 'notice', 'settings', 'month', 'disconnect'];
  for (const type of messages) await assert.rejects(background.hear(type, { urls: [BREAD] }, ON_GITHUB), /establish/);
  await assert.rejects(background.ask('liked', STAR), /establish/);
});

test('a permission that is taken away ends the script and the switch', async () => {
  const background = await noticing('github.com');
  assert.deepEqual(background.chrome.registered.get('github.com').matches, ['https://github.com/*']);

  background.chrome.granted.clear();
  assert.equal(await background.hear('liked', STAR, ON_GITHUB), false, 'before anybody said so');
  background.chrome.permissions?.onRemoved.emit({ origins: ['https://github.com/*'] });
  await background.quiet();

  assert.equal(background.chrome.registered.size, 0);
  assert.equal(await background.hear('liked', STAR, ON_GITHUB), false);
  const { networks } = await background.ask('settings');
  assert.ok(networks.every((/** @type {any} */ { on }) => !on));
});

test('switching off gives the permission back', async () => {
  const background = await noticing('github.com');
  await background.ask('notice', { host: 'github.com', on: false });
  assert.deepEqual([background.chrome.registered.size, background.chrome.granted.size], [0, 0]);
});

test('scripts that the browser forgot when the extension was updated are registered again', async () => {
  const background = await noticing('github.com');
  background.chrome.registered.clear();
  await background.restart();
  assert.deepEqual([...background.chrome.registered.keys()], ['github.com']);
});

test('a network on which nothing is recognised any more is named, until something is', async () => {
  const background = await noticing('github.com');
  const silent = async () => {
    const { networks } = await background.ask('settings');
    return networks.find((/** @type {any} */ { host }) => host === 'github.com').silent_since !== null;
  };
  for (let views = 0; views < 7; views += 1) await background.hear('recognised', { any: false }, ON_GITHUB);
  assert.equal(await silent(), false);
  await background.hear('recognised', { any: false }, ON_GITHUB);
  assert.equal(await silent(), true);
  await background.hear('recognised', { any: true }, ON_GITHUB);
  assert.equal(await silent(), false);
});

test('what waited for two months is forgotten', async () => {
  const background = await noticing('github.com');
  await background.hear('liked', STAR, ON_GITHUB);
  const like = background.chrome.kept.get(`like:${BREAD}`);
  like.sources[0].at -= 61 * 24 * 60 * 60 * 1000;
  await background.restart();
  assert.deepEqual(await waiting(background), []);
});

test('a Mastodon server is named as people name it', () => {
  for (const text of [
    'mastodon.social',
    ' https://mastodon.social/home',
    '@me@mastodon.social',
    'me@mastodon.social',
    'Mastodon.Social/@me',
  ])
    assert.equal(hostIn(text), 'mastodon.social', text);
  for (const text of ['', 'mastodon', '127.0.0.1', '[::1]', 'https://a b', '*', '*.social', 'localhost:3000'])
    assert.equal(hostIn(text), null, text);
});

test('every network has hosts of its own, but the one that the reader names servers of', () => {
  const hosts = NETWORKS.flatMap(({ hosts }) => hosts);
  assert.equal(new Set(hosts).size, hosts.length);
  assert.deepEqual(
    NETWORKS.filter(({ hosts }) => !hosts.length).map(({ id }) => id),
    ['mastodon'],
  );
});
