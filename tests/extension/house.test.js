import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TRACKING } from '../../extension/shared/tracking.js';

const ROOT = new URL('../../', import.meta.url).pathname;
const EXTENSION = join(ROOT, 'extension');
const FILES = readdirSync(EXTENSION, { recursive: true, encoding: 'utf8' });
const read = (/** @type {string} */ path) => readFileSync(join(EXTENSION, path), 'utf8');
const all = (/** @type {RegExp} */ type) =>
  FILES.filter((path) => type.test(path))
    .map(read)
    .join('\n');
const MANIFEST = JSON.parse(read('manifest.json'));
const WORDS = Object.keys(JSON.parse(read('_locales/en/messages.json')));

test('the extension asks for nothing but what a press needs', () => {
  assert.deepEqual(MANIFEST.permissions.sort(), ['activeTab', 'alarms', 'contextMenus', 'scripting', 'storage']);
  assert.deepEqual(
    MANIFEST.optional_host_permissions,
    ['https://*/*'],
    'asked for one site at a time, in the settings',
  );
  for (const more of ['host_permissions', 'optional_permissions', 'content_scripts', 'web_accessible_resources'])
    assert.ok(!(more in MANIFEST), `${more}: say in docs/privacy.md why a press needs it`);
});

test('scripts in pages listen to nobody there, ask the network nothing, and change nothing', () => {
  const files = FILES.filter((path) => /^networks\/(?!index).*\.js$/.test(path));
  assert.ok(files.length > 7);
  for (const file of files) {
    assert.doesNotMatch(
      read(file),
      /postMessage|['"]message['"]|fetch\(|XMLHttpRequest|WebSocket|sendBeacon|onMessage/,
    );
    assert.doesNotMatch(
      read(file),
      /\.(append|prepend|remove|before|after|replace\w+|setAttribute|dispatchEvent|click)\(/,
    );
    if (!/dom\.js$/.test(file))
      assert.doesNotMatch(
        read(file),
        /\.(parent\w+|children|closest|querySelector\w*)\b/,
        'a page may shadow it: ask look',
      );
    assert.doesNotMatch(read(file), /^(import|export) /m, 'it runs as a plain script');
  }
});

test('every network file says what it relies on, where to try it, and when that was last looked at', () => {
  for (const file of FILES.filter((path) => /^networks\/(?!index|dom|watch).*\.js$/.test(path))) {
    const [head = ''] = read(file).split('*/');
    for (const word of [/Test URLs: https:/, /Relies on: /, /Checked \d{4}-\d\d-\d\d/]) assert.match(head, word, file);
  }
});

test('extension and server drop the same tracking parameters', () => {
  assert.deepEqual(TRACKING, JSON.parse(readFileSync(join(ROOT, 'backend/data/tracking.json'), 'utf8')));
});

test('what strangers wrote is never read as markup', () => {
  assert.doesNotMatch(all(/\.js$/), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(/);
});

test('every word on screen is in the language file, and nothing else is', () => {
  const code = all(/\.(js|html)$/) + read('manifest.json').replaceAll(/__MSG_(\w+?)__/g, '$1');
  const quoted = new Set([...code.matchAll(/['"](\w+)['"]/g)].map(([, word]) => word));
  const made = [...code.matchAll(/`([a-z_]+_)\$\{/g)].map(([, start]) => start ?? '');
  const stem = (/** @type {string} */ word) => word.replace(/_(one|two|few|other)$/, '');
  const unused = WORDS.filter((word) => !quoted.has(stem(word)) && !made.some((start) => word.startsWith(start)));
  assert.deepEqual(unused, [], 'in _locales, but shown nowhere');

  const named = [...code.matchAll(/data-text="(\w+)"|\bt\('(\w+)'/g)].map((found) => found.slice(1).find(Boolean));
  const plurals = [...code.matchAll(/\b(?:plural|ordinal)\('(\w+)'/g)].map(([, name]) => `${name}_other`);
  const missing = [...named, ...plurals].filter((name) => name && !WORDS.includes(name));
  assert.deepEqual(missing, [], 'shown somewhere, but not in _locales');
});

test('pages can run from right to left: nothing is said to be left or right', () => {
  assert.doesNotMatch(all(/\.css$/), /\b(margin|padding|border)-(left|right)\b|\b(left|right):|: (left|right);/);
});

test('nothing is loaded from elsewhere, and nothing is depended on', () => {
  assert.doesNotMatch(all(/\.(html|css)$/), /https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  const imports = [...all(/\.js$/).matchAll(/from '([^']+)'/g)].map(([, path]) => path ?? '');
  assert.deepEqual(
    imports.filter((path) => !/^\.\.?\//.test(path)),
    [],
  );
});

test('what the messages say, a background answers', () => {
  const typed = [...read('shared/messages.js').matchAll(/@property \{\(.*?\) => Promise<.*?>\} (\w+)/g)].map(
    ([, name]) => name,
  );
  const asked = [...all(/\.js$/).matchAll(/\bask\('(\w+)'/g)].map(([, name]) => name);
  assert.ok(typed.length > 10);
  assert.deepEqual([...new Set(asked)].sort(), typed.sort(), 'a message nobody asks, or nobody typed');
});

test('the background listens before it waits for anything', () => {
  assert.doesNotMatch(
    read('background/worker.js'),
    /^(const .*= )?await /m,
    'an await at the top level would lose the event that woke the worker',
  );
});
