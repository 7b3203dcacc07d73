import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Background } from './background.js';

const ALICE = 'https://alice.example.org/bread';
const NOBODY = 'https://nobody.example.org/cake';

test('a press reaches the server, and the popup says who gets a share', async () => {
  const background = await Background.started();

  const view = await background.press(ALICE, { title: 'Bread', ownerIds: ['alice0000001'] });

  const [{ method, path, body }] = /** @type {[any]} */ (background.server.log);
  const { clicked_at, ...sent } = body;
  assert.deepEqual([method, path, sent], ['POST', '/clicks', { url: ALICE, title: 'Bread', owner_id: 'alice0000001' }]);
  assert.match(clicked_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.equal(view.kind, 'counts');
  assert.equal(view.click.owner.name, 'Owner of alice.example.org');
  assert.equal(view.me.share_micros, 5_000_000);
});

test('a press is stored before the network is asked', async () => {
  const background = await Background.started();
  background.server.trouble = 'hang';

  await background.press(ALICE);

  assert.equal(background.chrome.kept.get(`page:${ALICE}`).press.url, ALICE);
  assert.equal(background.chrome.badge, '1');
});

test('a press that cannot be stored is reported, not lost in silence', async () => {
  const background = await Background.started();
  background.chrome.fail('storage.local.set', 'Quota exceeded');

  await assert.rejects(background.press(ALICE), /Quota exceeded/);
  assert.deepEqual(background.server.changes, []);
});

test('a press before any pairing waits, and is sent once the browser is connected', async () => {
  const background = await Background.started({ token: '' });

  const before = await background.press(ALICE);
  await background.chrome.storage?.local.set({ token: 'flt_alice' });
  await background.quiet();

  assert.deepEqual([before.kind, before.queue.length], ['unconnected', 1]);
  assert.equal((await background.ask('look', { url: ALICE })).kind, 'counts');
  assert.equal(background.chrome.badge, '');
});

test('a press on a page already flattred only shows its state', async () => {
  const background = await Background.started();
  await background.press(ALICE);

  const view = await background.press(ALICE);

  assert.equal(view.kind, 'counts');
  assert.deepEqual(background.server.changes, ['POST']);
});

test('a press whose answer was lost is sent again word for word, and counts once', async () => {
  const background = await Background.started();
  background.server.trouble = 'lost';
  const view = await background.press(ALICE);
  background.server.trouble = 'none';

  await background.retry();

  const [first, second] = background.server.log.filter(({ method }) => method === 'POST').map(({ body }) => body);
  assert.equal(view.kind, 'waiting');
  assert.deepEqual(first, second);
  assert.equal(background.server.clicks.size, 1);
  assert.equal((await background.ask('look', { url: ALICE })).kind, 'counts');
});

for (const trouble of /** @type {const} */ (['down', 'error', 'portal', 'proxy'])) {
  test(`a press is kept while the server is in trouble: ${trouble}`, async () => {
    const background = await Background.started();
    background.server.trouble = trouble;
    const view = await background.press(ALICE);
    background.server.trouble = 'none';

    await background.retry();

    assert.deepEqual([view.kind, view.queue.length], ['waiting', 1]);
    assert.deepEqual([...background.server.clicks.keys()], [ALICE]);
    assert.equal(background.chrome.alarmsSet.has('outbox'), false);
  });
}

test('a server that never answers is given up on, and asked again', async () => {
  mock.method(AbortSignal, 'timeout', () => AbortSignal.abort(new Error('TimeoutError')));
  const background = await Background.started();
  background.server.trouble = 'hang';

  const view = await background.press(ALICE);
  mock.reset();
  background.server.trouble = 'none';
  await background.retry();

  assert.equal(view.kind, 'waiting');
  assert.equal(background.server.clicks.size, 1);
});

test('tries come less often the longer a server is away, but at least every hour', async () => {
  const background = await Background.started();
  background.server.trouble = 'down';
  await background.press(ALICE);
  const waits = [];

  for (let i = 0; i < 10; i += 1) {
    waits.push(background.chrome.alarmsSet.get('outbox')?.delayInMinutes);
    await background.retry();
  }

  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
});

test('a server that asks for patience is left alone, also by the next press', async () => {
  const background = await Background.started();
  background.server.trouble = 'busy';
  await background.press(ALICE);
  const asked = background.server.calls;

  await background.press(NOBODY);

  const posts = background.server.calls - asked;
  assert.equal(posts, 1, 'only the share is asked for, no click is sent');
  assert.equal(background.server.clicks.size, 0);
});

test('one click that the server stumbles over does not hold up the others', async () => {
  const background = await Background.started({ token: '' });
  background.server.stumbles.add(ALICE);
  await background.press(ALICE);
  await background.press(NOBODY);

  await background.chrome.storage?.local.set({ token: 'flt_alice' });
  await background.quiet();

  assert.deepEqual([...background.server.clicks.keys()], [NOBODY]);
  assert.equal(background.chrome.badge, '1');
});

test('a token the server no longer knows keeps the queue and asks to connect again', async () => {
  const background = await Background.started();
  background.server.tokens.clear();

  const view = await background.press(ALICE);

  assert.equal(view.kind, 'disconnected');
  assert.equal(background.chrome.badge, '!');
  assert.equal(background.chrome.kept.get('token'), '');
  assert.equal(view.queue.length, 1);
});

test('a worker stopped in the middle of sending sends again when it starts, and the click counts once', async () => {
  const background = await Background.started();
  background.server.trouble = 'hang';
  await background.press(ALICE);
  assert.ok(background.chrome.alarmsSet.has('outbox'), 'an alarm would wake it');

  background.server.trouble = 'none';
  await background.restart();

  assert.deepEqual([...background.server.clicks.keys()], [ALICE]);
  assert.equal((await background.ask('look', { url: ALICE })).kind, 'counts');
});

test('a press taken back before it was sent never reaches the server', async () => {
  const background = await Background.started({ token: '' });
  await background.press(ALICE);

  const view = await background.undo(ALICE);
  await background.chrome.storage?.local.set({ token: 'flt_alice' });
  await background.quiet();

  assert.deepEqual([view.kind, view.queue.length], ['undone', 0]);
  assert.deepEqual(background.server.changes, []);
});

test('a press taken back while it is on its way is taken back at the server', async () => {
  const background = await Background.started();
  background.chrome.pages.set(1, { url: ALICE, title: '', facts: { url: ALICE, title: '', ownerIds: [] } });
  await background.ask('press', { tabId: 1 });

  await background.undo(ALICE);

  assert.equal(background.server.clicks.size, 0);
  assert.equal((await background.ask('look', { url: ALICE })).kind, 'undone');
});

test('a press whose answer was lost and that is then taken back does not stay flattred', async () => {
  const background = await Background.started();
  background.server.trouble = 'lost';
  await background.press(ALICE);
  const view = await background.undo(ALICE);
  assert.equal(background.server.clicks.size, 1);
  background.server.trouble = 'none';

  await background.retry();

  assert.deepEqual([view.kind, view.queue.length], ['undone', 1]);
  assert.equal(background.server.clicks.size, 0);
});

test('an undo without a network is kept and sent later', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.trouble = 'down';
  const view = await background.undo(ALICE);
  background.server.trouble = 'none';

  await background.restart();

  assert.deepEqual([view.kind, view.queue.length], ['undone', 1]);
  assert.deepEqual(background.server.changes, ['POST', 'DELETE']);
  assert.equal(background.server.clicks.size, 0);
});

test('a press on a page just taken back shows that, and the button flattrs it again', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  await background.undo(ALICE);

  const shown = await background.press(ALICE);
  const again = await background.again(ALICE);

  assert.equal(shown.kind, 'undone');
  assert.equal(again.kind, 'counts');
  assert.deepEqual(background.server.changes, ['POST', 'DELETE', 'POST']);
});

test('flattred again while its undo still waits, a page ends up flattred; taken back once more, it does not', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.trouble = 'lost';
  await background.undo(ALICE);
  await background.again(ALICE);
  await background.undo(ALICE);
  background.server.trouble = 'none';

  await background.retry();

  assert.equal(background.server.clicks.size, 0);
});

test('what the server refuses for good is not sent again, and the badge asks to look', async () => {
  const background = await Background.started();
  background.server.refuses.set(ALICE, { status: 403, code: 'own_site' });

  const view = await background.press(ALICE);
  const badge = background.chrome.badge;
  await background.restart();
  await background.ask('seen', { url: ALICE });
  await background.quiet();

  assert.deepEqual([view.kind, view.refusal.code, badge], ['refused', 'own_site', '!']);
  assert.deepEqual(background.server.changes, ['POST']);
  assert.equal(background.chrome.badge, '');
});

test('in a new month a press flattrs the page anew', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.period = '2026-12';
  background.server.clicks.clear();

  await background.press(ALICE);

  assert.equal(background.server.clicks.get(ALICE).period, '2026-12');
});

test('an undo that comes after the end of the month says so, and the page stays flattred', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.period = '2026-12';

  const view = await background.undo(ALICE);

  assert.deepEqual([view.kind, view.refusal.code], ['refused', 'period_ended']);
});

test('another server learns of the presses that wait, and of nothing that the last one has', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.trouble = 'down';
  await background.press(NOBODY);
  background.server.trouble = 'none';
  background.server.clicks.clear();

  await background.ask('moveTo', { server: 'https://other.test' });
  await background.chrome.storage?.local.set({ token: 'flt_alice' });
  await background.quiet();

  assert.deepEqual([...background.server.clicks.keys()], [NOBODY]);
});

test('a press that was on its way to the last server is sent to the new one', async () => {
  const background = await Background.started();
  const release = background.server.hold();
  await background.press(ALICE);
  await background.ask('moveTo', { server: 'https://other.test' });
  background.server.clicks.clear();

  release();
  await background.chrome.storage?.local.set({ token: 'flt_alice' });
  await background.quiet();

  assert.deepEqual([...background.server.clicks.keys()], [ALICE]);
});

test('a tab that was closed before the answer came does no harm', async () => {
  const background = await Background.started();
  const release = background.server.hold();
  await background.press(ALICE);
  background.chrome.pages.clear();

  release();
  await background.quiet();

  assert.equal((await background.ask('look', { url: ALICE })).me.owners, 1);
});

test('a page taken back at one server can be flattred at another', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.trouble = 'down';
  await background.undo(ALICE);
  background.server.trouble = 'none';
  background.server.clicks.clear();

  await background.ask('moveTo', { server: 'https://other.test' });
  await background.chrome.storage?.local.set({ token: 'flt_alice' });
  const view = await background.press(ALICE);

  assert.equal(view.kind, 'counts');
});

test('a press during the sending of another is sent, too, without waiting for an alarm', async () => {
  const background = await Background.started();
  const release = background.server.hold();
  await background.press(ALICE);
  await background.press(NOBODY);

  release();
  await background.quiet();

  assert.deepEqual([...background.server.clicks.keys()], [ALICE, NOBODY]);
});

test('flattred again while its undo is on its way, a page can still be taken back', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  const release = background.server.hold();
  await background.undo(ALICE);
  await background.again(ALICE);
  release();
  await background.quiet();
  assert.equal(background.server.clicks.size, 1);

  await background.undo(ALICE);

  assert.equal(background.server.clicks.size, 0);
});

test('a refusal of the undo does not stick to the press that came after it', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.period = '2026-12';
  const release = background.server.hold();
  await background.undo(ALICE);
  await background.again(ALICE);

  release();
  await background.quiet();

  assert.equal((await background.ask('look', { url: ALICE })).kind, 'counts');
});

test('taken back, flattred and taken back again before the server heard of any of it, a page is taken back', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.trouble = 'hang';
  await background.undo(ALICE);
  await background.again(ALICE);
  await background.undo(ALICE);
  background.server.trouble = 'none';

  await background.restart();

  assert.equal(background.server.clicks.size, 0);
});

test('a late refusal of an old token does not disconnect a browser that was connected again meanwhile', async () => {
  const background = await Background.started();
  background.server.tokens = new Set(['flt_fresh']);
  const release = background.server.hold();
  await background.press(ALICE);
  await background.chrome.storage?.local.set({ token: 'flt_fresh' });

  release();
  await background.quiet();

  assert.equal(background.chrome.kept.get('token'), 'flt_fresh');
  assert.equal((await background.ask('look', { url: ALICE })).kind, 'counts');
});

test('once the reader has seen a refusal, a press tries again', async () => {
  const background = await Background.started();
  background.server.refuses.set(ALICE, { status: 403, code: 'opted_out' });
  await background.press(ALICE);
  await background.ask('seen', { url: ALICE });
  background.server.refuses.clear();

  const view = await background.press(ALICE);

  assert.equal(view.kind, 'counts');
});

test('a page flattred as a promise counts as soon as its owner has joined', async () => {
  const background = await Background.started();
  await background.press(NOBODY);
  background.server.joined.add('nobody.example.org');

  const view = await background.press(NOBODY);

  assert.equal(view.kind, 'counts');
  assert.equal(view.click.owner.name, 'Owner of nobody.example.org');
});

test('a page taken back in another browser shows as taken back here', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  background.server.clicks.clear();

  const view = await background.press(ALICE);

  assert.equal(view.kind, 'undone');
});

test('the button shows how its page stands, and nothing on the page that came after it', async () => {
  const background = await Background.started();
  await background.press(ALICE);
  const release = background.server.hold();
  await background.press(NOBODY);
  background.chrome.icons.clear();
  background.chrome.pages.set(1, { url: 'https://elsewhere.example.org/', title: '' });

  release();
  await background.quiet();

  assert.equal(background.chrome.icons.get(1), undefined);
});

test('a press on a page that cannot be flattred opens My month, which says why', async () => {
  const background = await Background.started();

  const view = await background.press('http://192.168.1.1/router');

  assert.equal(view, null);
  assert.deepEqual(background.chrome.opened, ['/pages/month.html?why=ip_address']);
  assert.equal(background.chrome.icons.get(1), '/icons/grey-16.png');
  assert.deepEqual(background.server.log, []);
});

test('the first press of a session works although the browser is late with its permission', async () => {
  const background = await Background.started();
  background.chrome.fail(
    'scripting.executeScript',
    'Cannot access contents of the page.',
    'Cannot access contents of the page.',
  );

  await background.press(ALICE, { ownerIds: ['alice0000001'] });

  assert.equal(background.server.log[0]?.body.owner_id, 'alice0000001');
});

test('what is flattred in another browser can be taken back from the list', async () => {
  const background = await Background.started();
  const other = await Background.started();
  other.server = background.server;
  await other.restart();
  await other.press(ALICE);
  await background.restart();
  await background.ask('fresh');
  const { clicks } = await background.ask('month');

  await background.ask('undoListed', { click: clicks[0] });
  await background.quiet();

  assert.equal(background.server.clicks.size, 0);
});

test('whatever goes wrong in whatever order, the server ends up with what the reader last wanted', async () => {
  const random = seeded(20261123);
  const troubles = /** @type {const} */ (['none', 'down', 'lost', 'error', 'hang', 'portal', 'proxy']);
  const background = await Background.started();
  const wanted = new Map();
  for (let i = 0; i < 400; i += 1) {
    const url = `https://site${random(4)}.example.org/`;
    background.server.trouble = troubles[random(troubles.length)] ?? 'none';
    const act = ['press', 'undo', 'again', 'restart'][random(4)];
    if (act === 'restart') await background.restart();
    else if (act === 'press' || wanted.has(url)) {
      await background.ask('look', { url });
      if (act === 'press') await background.press(url);
      else await background.ask(act ?? '', { url });
      if (act !== 'press' || !wanted.has(url)) wanted.set(url, act !== 'undo');
    }
    if (random(2)) await background.quiet();
  }
  background.server.trouble = 'none';
  await background.restart();

  const expected = [...wanted].filter(([, want]) => want).map(([url]) => url);
  assert.deepEqual([...background.server.clicks.keys()].sort(), expected.sort());
  assert.equal(background.chrome.badge, '');
});

test('stopped at any moment of a press, and woken by its alarm alone, the press is there or was never made', async () => {
  let made = 0;
  for (let moment = 0; moment < 60; moment += 1) {
    const background = await Background.started();
    background.chrome.pages.set(1, { url: ALICE, title: '', facts: { url: ALICE, title: '', ownerIds: [] } });
    background.chrome.stopAfter(moment, () => background.stop());
    void background.ask('press', { tabId: 1 }).catch(() => 'nobody was there to hear it');
    await background.quiet();
    background.stop();

    const stored = background.chrome.kept.get(`page:${ALICE}`);
    const sent = background.server.clicks.size;
    if (stored && !stored.click) assert.ok(background.chrome.alarmsSet.has('outbox'), `nothing wakes it: ${moment}`);
    if (background.chrome.alarmsSet.has('outbox')) await background.wakeFor('outbox');

    assert.equal(background.server.clicks.size, stored ? 1 : 0, `stopped after ${moment} calls`);
    assert.ok(sent <= background.server.clicks.size);
    made += background.server.clicks.size;
  }
  assert.ok(made > 20 && made < 60, `${made}: stopped both before and after it was stored`);
});

test('what waits says why, and when it is tried again', async () => {
  const background = await Background.started();
  const reasons = /** @type {const} */ ({ down: 'unreached', error: 'stumbled', busy: 'busy' });
  for (const [trouble, reason] of Object.entries(reasons)) {
    background.chrome.kept.delete('retries');
    background.server.trouble = /** @type {any} */ (trouble);
    await background.press(ALICE);
    const { queue } = await background.ask('month');
    assert.deepEqual([trouble, queue.reason, queue.length], [trouble, reason, 1]);
    assert.ok(queue.next > Date.now(), 'it is tried again later');
  }
  background.server.tokens.clear();
  background.server.trouble = 'none';
  background.chrome.kept.delete('retries');
  await background.ask('retry');
  await background.quiet();
  const { queue } = await background.ask('month');
  assert.deepEqual(queue, { length: 1, reason: 'disconnected', next: null });
});

test('asked to try now, it does, but a server that asked for patience is left alone', async () => {
  const background = await Background.started();
  background.server.trouble = 'busy';
  await background.press(ALICE);
  background.server.trouble = 'none';
  await background.ask('retry');
  await background.quiet();
  assert.equal(background.server.clicks.size, 0);

  background.chrome.kept.set('retries', { failures: 7, not_before: 0, reason: 'unreached' });
  await background.ask('retry');
  await background.quiet();
  assert.equal(background.server.clicks.size, 1);
});

/** @param {number} state  a small generator of numbers below n, the same on every run */
function seeded(state) {
  return (/** @type {number} */ n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}
