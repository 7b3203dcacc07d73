import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const FOLDER = new URL('../../extension/_locales/', import.meta.url);
const LANGUAGES = readdirSync(FOLDER);
/** @type {Record<string, Record<string, string>>} */
const WORDS = {};
for (const language of LANGUAGES) {
  const messages = JSON.parse(readFileSync(new URL(`${language}/messages.json`, FOLDER), 'utf8'));
  WORDS[language] = Object.fromEntries(Object.entries(messages).map(([name, { message }]) => [name, message]));
}
const ENGLISH = WORDS['en'] ?? {};
const ORDINALS = ['why_promise'];
const FORM = /_(zero|one|two|few|many|other)$/;
const PLURALS = [
  ...new Set(
    Object.keys(ENGLISH)
      .filter((name) => FORM.test(name))
      .map((name) => name.replace(FORM, '')),
  ),
];

/** @param {string} name */
const isForm = (name) => FORM.test(name) && PLURALS.includes(name.replace(FORM, ''));
/** @param {string} words */
const placeholders = (words) => [...new Set(words.match(/\$\d/g) ?? [])].sort();

test('the extension speaks English, German, French and Spanish', () => {
  assert.deepEqual(LANGUAGES.sort(), ['de', 'en', 'es', 'fr']);
});

for (const language of LANGUAGES) {
  const words = WORDS[language] ?? {};

  test(`${language}: no message is missing, and none is left over`, () => {
    const plain = (/** @type {object} */ of) =>
      Object.keys(of)
        .filter((name) => !isForm(name))
        .sort();
    assert.deepEqual(plain(words), plain(ENGLISH));
    assert.deepEqual(
      Object.entries(words).filter(([, message]) => !message.trim()),
      [],
      'empty',
    );
  });

  test(`${language}: every plural has each form of the language, and no other`, () => {
    for (const name of PLURALS) {
      const type = ORDINALS.includes(name) ? 'ordinal' : 'cardinal';
      const expected = new Intl.PluralRules(words['locale'], { type }).resolvedOptions().pluralCategories;
      const found = Object.keys(words).filter((key) => key.replace(FORM, '') === name && FORM.test(key));
      assert.deepEqual(found.sort(), expected.map((form) => `${name}_${form}`).sort());
    }
  });

  test(`${language}: no placeholder is missing`, () => {
    for (const [name, message] of Object.entries(words)) {
      const english = ENGLISH[isForm(name) ? name.replace(FORM, '_other') : name] ?? '';
      const [ours, theirs] = [placeholders(message), placeholders(english)];
      // "One person" needs no number.
      const needed = name.endsWith('_one') && isForm(name) ? theirs.filter((one) => one !== '$1') : theirs;
      assert.deepEqual(
        ours.filter((one) => one !== '$1' || !name.endsWith('_one')),
        needed.filter((one) => one !== '$1' || !name.endsWith('_one')),
        `${language} ${name}`,
      );
    }
  });

  test(`${language}: what the stores show is short enough for them`, () => {
    assert.ok((words['description'] ?? '').length <= 132);
  });

  test(`${language}: calm words: nobody shouts, and no English is left over`, () => {
    for (const [name, message] of Object.entries(words)) {
      assert.doesNotMatch(message, /!(?!\w)/, name);
      const same = language !== 'en' && message === ENGLISH[name] && message.length > 12;
      assert.ok(!same, `${language} ${name} is still English`);
    }
  });
}
