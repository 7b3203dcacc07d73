import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Background } from './background.js';

const ALICE = 'https://alice.example.org/bread';

test('connecting shows a code, and ends once it was typed: the press that waited is sent', async () => {
  const background = await Background.started({ token: '' });
  await background.press(ALICE);

  const shown = await background.ask('connect');
  const before = await background.ask('connect');
  background.server.pairing.approved = true;
  const after = await background.ask('connect');
  await background.quiet();

  assert.deepEqual([shown.state, shown.code, shown.connect_url], ['open', 'K7MX2P', 'https://flattr.test/connect']);
  assert.equal(before.state, 'open');
  assert.deepEqual([after.state, after.email], ['connected', 'alice@example.org']);
  assert.deepEqual([...background.server.clicks.keys()], [ALICE]);
});

test('a pairing goes on when its tab was closed and the browser restarted', async () => {
  const background = await Background.started({ token: '' });
  await background.ask('connect');
  const { challenge } = background.server.pairing;

  await background.restart();
  const shown = await background.ask('connect');

  assert.deepEqual([shown.state, shown.code], ['open', 'K7MX2P']);
  assert.equal(background.server.pairing.challenge, challenge);
});

test('a code typed while nobody looks at the tab connects all the same', async () => {
  const background = await Background.started({ token: '' });
  await background.ask('connect');
  background.server.pairing.approved = true;

  assert.deepEqual(background.chrome.alarmsSet.get('pairing'), { periodInMinutes: 0.5 });
  background.chrome.alarms?.onAlarm.emit({ name: 'pairing' });
  await background.quiet();

  assert.equal(background.chrome.kept.get('token'), 'flt_fresh');
  background.chrome.alarms?.onAlarm.emit({ name: 'pairing' });
  await background.quiet();
  assert.equal(background.chrome.alarmsSet.has('pairing'), false);
});

test('a used-up code is not asked for again, and a new one can be had', async () => {
  const background = await Background.started({ token: '' });
  await background.ask('connect');
  background.server.pairing.spent = true;

  const ended = await background.ask('connect');
  const renewed = await background.ask('connect', { fresh: true });

  assert.equal(ended.state, 'expired');
  assert.equal(renewed.state, 'open');
});

test('a server that does not answer is named', async () => {
  const background = await Background.started({ token: '' });
  background.server.trouble = 'down';

  assert.deepEqual(await background.ask('connect'), { state: 'unreachable', server: 'https://flattr.test' });
});

test('a short silence of the server does not end a pairing', async () => {
  const background = await Background.started({ token: '' });
  await background.ask('connect');
  background.server.trouble = 'down';

  assert.equal((await background.ask('connect')).state, 'open');
});

test('a server cannot make the connect button run a script', async () => {
  const background = await Background.started({ token: '' });
  background.server.connectUrl = 'javascript:alert(1)';

  assert.equal((await background.ask('connect')).connect_url, undefined);
});

test('another user in the same browser does not see what the first one flattred', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.tokens.clear();
  await background.press(ALICE);
  background.server.email = 'bob@example.org';
  background.server.clicks.clear();

  await background.ask('connect');
  background.server.pairing.approved = true;
  await background.ask('connect');
  await background.quiet();

  assert.equal(await background.ask('look', { url: ALICE }), null);
  assert.equal(background.server.clicks.size, 0);
});

test('disconnecting tells the server and forgets the token, but not what waits', async () => {
  const background = await Background.started();
  background.server.stumbles.add(ALICE);
  await background.press(ALICE);

  await background.ask('disconnect');

  const settings = await background.ask('settings');
  assert.equal(background.server.tokens.size, 0);
  assert.deepEqual([settings.connected, settings.me], [false, null]);
  assert.deepEqual(
    settings.waiting.map((/** @type {{url: string}} */ { url }) => url),
    [ALICE],
  );
});

test('only an address that keeps the token private is accepted as server', async () => {
  const background = await Background.started();

  assert.equal(await background.ask('moveTo', { server: 'http://flattr.example.org' }), false);
  assert.equal((await background.ask('settings')).connected, true);
  assert.equal(await background.ask('moveTo', { server: ' https://flattr.example.org/ ' }), true);
  const { server, connected, me } = await background.ask('settings');
  assert.deepEqual([server, connected, me], ['https://flattr.example.org', false, null]);
});
