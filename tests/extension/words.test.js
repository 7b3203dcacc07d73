import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { FakeChrome } from './chrome.js';

/** @type {typeof import('../../extension/popup/words.js')} */
let words;
/** @type {typeof import('../../extension/shared/money.js')} */
let money;

before(async () => {
  Object.defineProperty(globalThis, 'chrome', { value: new FakeChrome() });
  words = await import('../../extension/popup/words.js');
  money = await import('../../extension/shared/money.js');
});

const ME = { ends_at: '2026-12-01T00:00:00Z', currency: 'EUR', owners: 4, share_micros: 1_250_000 };
const CLICK = { site: 'alice.example.org', owner: { public_id: 'a', name: 'Alice' }, rule: 'claimed', state: 'counts' };

/** @param {object} view */
const said = (view) =>
  words.wordsFor(
    /** @type {any} */ ({
      kind: 'counts',
      url: 'https://www.alice.example.org/a',
      server: 'https://flattr.test',
      me: ME,
      queue: { length: 0, reason: 'sending', next: null },
      ...view,
    }),
  );

test('a page that counts says who, why and how much', () => {
  assert.deepEqual(said({ click: CLICK }), {
    payee: 'Alice',
    why: 'gets a share, as the owner of alice.example.org.',
    worth: '1 of 4 people, 1.25\u00a0€',
    thanks: '',
    until: 'until 1 December',
    act: null,
  });
});

test('an owner thanks those whose flattr counts, and nobody else', () => {
  const click = { ...CLICK, thanks: 'Thank you <b>so</b> much' };
  assert.equal(said({ click }).thanks, 'Thank you <b>so</b> much');
  assert.equal(said({ kind: 'undone', click }).thanks, '');
  assert.equal(said({ kind: 'waiting', click: null }).thanks, '');
});

test('a share is shown as what it would be, before there is money', () => {
  const me = { ...ME, share_micros: 0, projected_share_micros: 1_250_000 };
  assert.equal(said({ click: CLICK, me }).worth, '1.25\u00a0€ each, once you add money.');
});

test('an owner without a name goes by the site', () => {
  assert.equal(said({ click: { ...CLICK, owner: { public_id: 'a', name: null } } }).payee, 'alice.example.org');
});

for (const [place, nth] of Object.entries({ 1: '1st', 2: '2nd', 3: '3rd', 4: '4th', 11: '11th', 22: '22nd' })) {
  test(`a promise says that it is the ${nth}`, () => {
    const click = { ...CLICK, owner: null, state: 'promise', place: Number(place) };
    const expected = `Not here yet: you are the ${nth} to promise alice.example.org a share.`;
    assert.equal(said({ kind: 'promise', click }).why, expected);
  });
}

test('a refusal that nobody thought of is shown in the server’s own words', () => {
  const { why, payee } = said({ kind: 'refused', click: null, refusal: { code: 'odd', detail: 'It is Sunday.' } });
  assert.deepEqual([why, payee], ['The server said no: It is Sunday.', 'alice.example.org']);
});

test('a browser that was never connected offers to connect', () => {
  const { act, worth } = said({ kind: 'unconnected', click: null, queue: { length: 2, reason: 'unconnected' } });
  assert.deepEqual([act, worth], ['connect', '2 waiting']);
});

const AMOUNTS = /** @type {[number, string, string][]} */ ([
  [1_666_666, 'EUR', '1.66\u00a0€'],
  [290_000, 'EUR', '0.29\u00a0€'],
  [9_999, 'EUR', '0.00\u00a0€'],
  [1_234_567_890_000, 'USD', '1,234,567.89\u00a0$'],
  [1_999_999, 'JPY', '1\u00a0¥'],
]);
for (const [micros, currency, expected] of AMOUNTS) {
  test(`${micros} micros in ${currency} are shown as ${expected}, never more than what moves`, () => {
    assert.equal(money.amount(micros, currency), expected);
  });
}

const DAYS = { en: '1 December', de: '1. Dezember', fr: '1er décembre', es: '1 de diciembre' };
for (const [language, expected] of Object.entries(DAYS)) {
  test(`a month ends on ${expected}, and money is written as in ${language}`, () => {
    const browser = /** @type {any} */ (globalThis).chrome;
    browser.language = language;
    try {
      assert.equal(money.day('2026-12-01T00:00:00Z'), expected);
      assert.equal(money.amount(1_250_000, 'EUR'), language === 'en' ? '1.25\u00a0€' : '1,25\u00a0€');
      assert.equal(money.microsOf(money.bareAmount(7_500_000, 'EUR')), 7_500_000, 'what a field shows can be typed');
      assert.match(said({ click: CLICK }).worth, /4/);
    } finally {
      browser.language = 'en';
    }
  });
}

for (const [text, micros] of Object.entries({ 5: 5_000_000, 5.5: 5_500_000, '7,50': 7_500_000, ' 0,29 ': 290_000 })) {
  test(`typed as ${JSON.stringify(text)}, an amount is ${micros} micros`, () => {
    assert.equal(money.microsOf(text), micros);
  });
}
for (const text of ['', 'five', '-1', '1.234', '1,000.00', '1e3', '5 €', '12345678']) {
  test(`${JSON.stringify(text)} is no amount`, () => {
    assert.equal(money.microsOf(text), null);
  });
}

test('a promise offers to tell the owner, with words to send them, and not on a host that nobody owns', () => {
  const click = { ...CLICK, owner: null, state: 'promise' };
  const view = /** @type {any} */ ({ kind: 'promise', click, server: 'https://flattr.test', url: 'https://a.org/' });
  assert.equal(
    words.noteFor(view),
    'I promised alice.example.org a share of my month. It is waiting here: https://flattr.test/s/alice.example.org',
  );
  assert.equal(said({ kind: 'promise', click }).act, 'tell');
  assert.equal(said({ kind: 'promise', click: { ...click, shared: true } }).act, null);
});

test('a press that waits says why, and a practice press that it does not count', () => {
  const waits = (/** @type {string} */ reason) =>
    said({ kind: 'waiting', click: null, queue: { length: 1, reason, next: Date.UTC(2026, 10, 24, 12) } }).why;
  assert.match(waits('unreached'), /flattr\.test does not answer/);
  assert.match(waits('stumbled'), /trouble/);
  assert.match(waits('busy'), /until \d\d:00/);
  const { payee, why, act } = said({ kind: 'practice', click: null, url: '', me: null });
  assert.deepEqual([payee, act], ['Whoever made this page', null]);
  assert.match(why, /nothing counts/);
});

test('a page on a shared host says that nobody may ever claim it', () => {
  const click = { ...CLICK, site: 'youtube.com', owner: null, rule: 'promise_host', state: 'promise', shared: true };
  assert.match(said({ kind: 'promise', click }).why, /^youtube\.com is shared by many people/);
});
