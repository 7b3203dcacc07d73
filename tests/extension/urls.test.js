import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanUrl, isDevServer, pageOf, serverAddress } from '../../extension/shared/urls.js';

const SERVER = 'https://flattr.example.org';
const DEV = 'http://127.0.0.1:8000';

/** @param {string} url @param {object} [more] @param {string} [server] @returns {any} */
function pressed(url, more = {}, server = SERVER) {
  return pageOf({ url, canonical: null, title: 'A page', ownerIds: [], authors: [], ...more }, server);
}

const CLEAN = {
  'https://user:secret@example.org/a#top': 'https://example.org/a',
  'https://example.org/a?utm_source=x&id=7&fbclid=y&utm_medium=z': 'https://example.org/a?id=7',
  'https://example.org/a?gclid=1': 'https://example.org/a',
  'https://example.org/a?': 'https://example.org/a',
  'https://example.org/a??b': 'https://example.org/a??b',
  'https://example.org/a?q=a%20b+c&&x=%C3%A4': 'https://example.org/a?q=a%20b+c&x=%C3%A4',
  'https://example.org/a?my_utm_source=1&sip=2': 'https://example.org/a?my_utm_source=1&sip=2',
  'https://EXAMPLE.org:443/A|b^c': 'https://example.org/A%7Cb%5Ec',
  'https://example.org../a': 'https://example.org/a',
};
for (const [from, to] of Object.entries(CLEAN)) {
  test(`${from} is the page ${to}`, () => {
    assert.equal(cleanUrl(from)?.href, to);
    assert.equal(cleanUrl(to)?.href, to, 'and is its own canonical form');
  });
}

const REFUSED = {
  'chrome://settings/': 'not_web',
  'file:///etc/passwd': 'not_web',
  'about:blank': 'not_web',
  'http://192.168.1.1/': 'ip_address',
  'http://0x7f.1/': 'ip_address',
  'http://2130706433/': 'ip_address',
  'http://127.0.0.1./': 'ip_address',
  'http://[::1]/': 'ip_address',
  'http://localhost/': 'no_public_name',
  'http://router/': 'no_public_name',
  'http://.../': 'no_public_name',
  'http://printer.local/': 'no_public_name',
  'http://wiki.internal/': 'no_public_name',
  'http://abcdefgh.onion/': 'no_public_name',
  'http://blog.test./': 'no_public_name',
  'http://example.org:8080/': 'port',
  'https://example.org:80/': 'port',
};
for (const [url, why] of Object.entries(REFUSED)) {
  test(`${url} cannot be flattred: ${why}`, () => {
    assert.deepEqual(pressed(url), { why });
  });
}

test('a page that the browser lets nobody look at cannot be flattred', () => {
  assert.deepEqual(pageOf(null, SERVER), { why: 'unreadable' });
});

for (const url of [
  'http://127.0.0.1:8001/a',
  'http://localhost:9/a',
  'http://[::1]:8001/a',
  'http://blog.test:8001/a',
]) {
  test(`${url} can be flattred at a developer's server, and nowhere else`, () => {
    assert.equal(pressed(url, {}, DEV).url, url);
    assert.ok('why' in pressed(url, {}, SERVER));
  });
}

test('a developer cannot flattr the neighbours either', () => {
  assert.deepEqual(pressed('http://192.168.1.1/', {}, DEV), { why: 'ip_address' });
  assert.deepEqual(pressed('http://example.org:8080/', {}, DEV), { why: 'port' });
});

const CANONICAL = [
  ['https://example.org/a?page=1', 'https://example.org/a', 'https://example.org/a'],
  ['https://www.example.org/a', 'https://example.org/b#c', 'https://example.org/b'],
  ['https://example.org/a', 'https://www.example.org/a?utm_source=feed', 'https://www.example.org/a'],
  ['https://example.org/a', 'https://rich.example.com/a', 'https://example.org/a'],
  ['https://blog.example.org/a', 'https://example.org/a', 'https://blog.example.org/a'],
  ['https://example.org/a', 'https://example.org:8080/a', 'https://example.org/a'],
  ['https://example.org/a', 'javascript:alert(1)', 'https://example.org/a'],
  ['https://example.org/a', 'not a url', 'https://example.org/a'],
];
for (const [url, canonical, expected] of CANONICAL) {
  test(`${url} that calls itself ${canonical} is flattred as ${expected}`, () => {
    assert.equal(pressed(url ?? '', { canonical }).url, expected);
  });
}

const IDS = /** @type {[string[], string | null][]} */ ([
  [[], null],
  [['alice0000001'], 'alice0000001'],
  [[' alice0000001\n', 'alice0000001', ''], 'alice0000001'],
  [['alice0000001', 'mallory00001'], null],
  [['none'], 'none'],
  [['x'.repeat(65)], null],
]);
for (const [ownerIds, expected] of IDS) {
  test(`tags that say ${JSON.stringify(ownerIds)} name ${expected ?? 'nobody'}`, () => {
    assert.equal(pressed('https://example.org/', { ownerIds }).owner_id, expected);
  });
}

test('a title is cut to 300 characters, and never in the middle of one', () => {
  assert.equal(pressed('https://example.org/', { title: `  ${'🍰'.repeat(400)}` }).title, '🍰'.repeat(300));
  assert.equal(pressed('https://example.org/', { title: 'half \uD83C cake' }).title, 'half \uFFFD cake');
});

test('a server is an origin, and the token never crosses a network in the clear', () => {
  assert.equal(serverAddress('https://flattr.example.org'), 'https://flattr.example.org');
  assert.equal(serverAddress('http://127.0.0.1:8000/'), 'http://127.0.0.1:8000');
  for (const bad of [
    '',
    'flattr.example.org',
    'http://flattr.example.org',
    'https://a@flattr.example.org',
    'https://b.org/api',
  ])
    assert.equal(serverAddress(bad), null, bad);
});

test('only a server on this computer is a developer’s', () => {
  assert.ok(isDevServer('http://127.0.0.1:8000') && isDevServer('http://localhost:8000'));
  assert.ok(!isDevServer('https://flattr.example.org') && !isDevServer('http://127.0.0.1.example.org'));
});
