/** A month's list as the reader wants to see it: searched, and in groups. */

/**
 * @typedef {import('../shared/messages.js').Click} Click
 * @typedef {'person' | 'page' | 'day'} By
 * @typedef {{name: string, clicks: Click[]}} Group
 */

/**
 * Those that have every word somewhere in title, address, site or name, whatever the case and the accents.
 * @param {Click[]} clicks
 * @param {string} text
 */
export function matching(clicks, text) {
  const words = plain(text).split(/\s+/).filter(Boolean);
  return clicks.filter(({ title, url, site, owner }) => {
    const all = plain([title, url, site, owner?.name].join(' '));
    return words.every((word) => all.includes(word));
  });
}

/** @param {string} text */
function plain(text) {
  return text
    .normalize('NFD')
    .replaceAll(/\p{Mark}/gu, '')
    .toLowerCase();
}

/**
 * @param {Click[]} clicks  newest first
 * @param {By} by
 * @param {string} locale
 * @returns {Group[]}
 */
export function grouped(clicks, by, locale) {
  const compare = new Intl.Collator(locale, { numeric: true }).compare;
  if (by === 'page') return [{ name: '', clicks: [...clicks].sort((a, b) => compare(nameOf(a), nameOf(b))) }];
  const groups = /** @type {Map<string, Group>} */ (new Map());
  for (const click of clicks) {
    const [key, name] = by === 'day' ? [dayOf(click), dayOf(click)] : [personKey(click), personOf(click)];
    const group = groups.get(key) ?? { name, clicks: [] };
    group.clicks.push(click);
    groups.set(key, group);
  }
  return by === 'day' ? [...groups.values()] : [...groups.values()].sort((a, b) => compare(a.name, b.name));
}

/** @param {Click} click */
export function nameOf({ title, url }) {
  return title || url;
}

/** @param {Click} click */
export function personOf({ owner, site }) {
  return owner?.name || site;
}

/** @param {Click} click */
function personKey({ owner, site }) {
  return owner ? `person ${owner.public_id}` : `site ${site}`;
}

/** @param {Click} click  periods follow UTC, and so do their days */
function dayOf({ clicked_at }) {
  return clicked_at.slice(0, 10);
}
