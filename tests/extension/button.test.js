import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Background } from './background.js';

const ALICE = 'https://alice.example.org/bread';
const BEN = 'https://ben.example.org/news';

test('installing opens one page, and asks the server nothing', async () => {
  const background = await Background.started({ token: '' });
  await background.install();

  assert.deepEqual(background.chrome.opened, ['/pages/welcome.html']);
  assert.equal(background.server.calls, 0);
  assert.deepEqual([...background.chrome.menus.keys()], ['month', 'money', 'settings', 'page', 'link']);
});

test('a press for practice is stored nowhere and sent to nobody', async () => {
  const background = await Background.started();
  background.chrome.pages.set(1, { url: 'chrome-extension://flattr/pages/welcome.html', title: 'Welcome' });
  const { calls } = background.server;

  const view = await background.ask('press', { tabId: 1 });
  await background.quiet();

  assert.equal(view.kind, 'practice');
  assert.equal(background.server.calls, calls);
  assert.equal((await background.ask('settings')).practised, true);
  assert.deepEqual((await background.ask('month')).waiting, []);
});

test('a link is flattred without being opened, and the popup shows it', async () => {
  const background = await Background.started();
  background.chrome.pages.set(1, { url: ALICE, title: 'Alice', facts: { url: ALICE, title: '', ownerIds: [] } });
  const { chrome } = background;
  /** @type {any} */
  let view = null;
  chrome.popup = async () => {
    view = await background.ask('press', { tabId: 1 });
  };

  await background.choose({ menuItemId: 'link', linkUrl: `${BEN}?utm_source=x#top`, linkText: 'News' });

  assert.deepEqual([view.url, view.elsewhere], [BEN, true]);
  assert.deepEqual(
    [...background.server.clicks.values()].map(({ url, title }) => [url, title]),
    [[BEN, 'News']],
  );
  assert.equal(chrome.icons.has(1), false, 'the page in the tab was not flattred');
  assert.equal((await background.press(ALICE)).url, ALICE, 'the next press means the page again');
});

test('a link is flattred also where a menu cannot open the popup', async () => {
  const background = await Background.started();
  await background.choose({ menuItemId: 'link', linkUrl: BEN });

  assert.deepEqual([...background.server.clicks.keys()], [BEN]);
});

test('a page chosen in the menu is flattred as by the button', async () => {
  const background = await Background.started();
  background.chrome.pages.set(1, { url: ALICE, title: '', facts: { url: ALICE, title: '', ownerIds: ['alice'] } });

  await background.choose({ menuItemId: 'page' });

  assert.equal(background.server.log[0]?.body.owner_id, 'alice');
  assert.equal(background.chrome.icons.get(1), '/icons/counts-16.png');
});

test('a link that cannot be flattred says why', async () => {
  const background = await Background.started();
  await background.choose({ menuItemId: 'link', linkUrl: 'http://192.168.1.1/' });

  assert.deepEqual(background.chrome.opened, ['/pages/month.html?why=ip_address']);
  assert.equal(background.server.clicks.size, 0);
});

test('a page that turns into another while it is looked at is flattred as the one that is seen', async () => {
  const background = await Background.started();
  const { chrome } = background;
  const facts = { url: ALICE, title: 'Old', ownerIds: [] };
  chrome.pages.set(1, { url: BEN, title: 'New', facts });
  chrome.looked = () => {
    chrome.pages.set(1, { url: BEN, title: 'New', facts: { ...facts, url: BEN, title: 'New' } });
  };

  const view = await background.ask('press', { tabId: 1 });

  assert.deepEqual([view.url, view.title], [BEN, 'New']);
});

test('in a dark browser the button wears lighter colours, also after a restart', async () => {
  const background = await Background.started();
  await background.ask('wear', { dark: true });
  await background.press(ALICE);

  assert.equal(background.chrome.icons.get(1), '/icons/dark/counts-16.png');
  background.chrome.icons.clear();
  await background.restart();
  assert.equal(background.chrome.icons.get(0), '/icons/dark/whole-16.png');
});

test('what the reader decides is told to the server, and shown as it answers', async () => {
  const background = await Background.started();

  assert.equal(await background.ask('decide', { budget_micros: 7_000_000 }), null);
  assert.deepEqual(background.server.wishes, { budget_micros: 7_000_000 });
  assert.equal((await background.ask('settings')).me.budget_micros, 7_000_000);
  background.server.trouble = 'down';
  assert.equal(await background.ask('decide', { empty_month: 'repeat' }), 'later');
});

test('a browser without menus, badge and changing pictures, as on telephones, presses all the same', async () => {
  const background = new Background();
  background.chrome.kept.set('server', 'https://flattr.test');
  background.chrome.kept.set('token', 'flt_alice');
  background.chrome.isTelephone = true;
  background.chrome.forgetListeners();
  await background.start();
  await background.install();

  const view = await background.press(ALICE);

  assert.equal(view.kind, 'counts');
});
