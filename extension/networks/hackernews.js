/**
 * Hacker News: an upvote, for the page that the story links to; for a comment or a text of its own, for its writer.
 *
 * Test URLs: https://news.ycombinator.com/, https://news.ycombinator.com/item?id=1
 * Relies on: links `up_ID` to `vote?…how=up` that carry an `auth` (signed in), a link `un_ID` while the vote stands, in
 *   English `undown` if it was a downvote; the row with the story's or comment's number as its id, whose first link is the
 *   story's; `user?id=NAME`; `logout` for being signed in.
 * Checked 2026-11-24 against saved public pages; not on the live network.
 */
/** @type {any} */ (globalThis).networks ??= {};
/** @type {any} */ (globalThis).networks.hackernews = /** @satisfies {import('./index.js').Network} */ ({
  id: 'hackernews',
  name: 'Hacker News',
  hosts: ['news.ycombinator.com'],
  pays: /^https?:\/\/./,
  controls: 'a[href*="how=up"]',

  control(at, look) {
    const vote = look.up(at, 'a[id^="up_"][href*="auth="], a[id^="un_"][href*="auth="]');
    const [, id] = /^u[pn]_(\d+)$/.exec(vote ? look.attr(vote, 'id') : '') ?? [];
    const row = id && look.one(`tr[id="${id}"]`);
    if (!id || !row) return null;
    const [first] = look.all('a[href]', row).filter((link) => !/^vote\?/.test(look.attr(link, 'href')));
    const target = look.url(first ?? null);
    if (!first || !target) return null;
    const isOurs = target.host === location.host;
    const writer = isOurs ? writerOf(row) : null;
    if (isOurs && !writer) return null;
    const title = look.text(isOurs && /^\/user$/.test(target.pathname) ? look.one('.commtext, div[dir]', row) : first);
    return {
      act: 'upvote',
      work: { url: `${location.origin}/item?id=${id}`, title: title || look.text(first) },
      page: writer ? { url: `${location.origin}/user?id=${writer}`, title: writer } : { url: target.href, title },
      isOn: () => {
        const undo = look.one(`a[id="un_${id}"][href*="auth="]`);
        return Boolean(undo) && look.text(undo) !== 'undown';
      },
    };

    /** A story's writer stands in the row below it, a comment's in its own. */
    function writerOf(/** @type {Element} */ story) {
      const rows = [story, story.nextElementSibling].filter((one) => one !== null);
      const links = rows.flatMap((one) => look.all('a[href^="user?id="]', one));
      return /^user\?id=([\w-]+)$/.exec(links[0] ? look.attr(links[0], 'href') : '')?.[1] ?? null;
    }
  },

  expected: (look) =>
    /^\/(|news|newest|front|best|ask|show)$/.test(location.pathname) && Boolean(look.one('a[href^="logout?"]')),
});
