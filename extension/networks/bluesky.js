/**
 * Bluesky: a like or a repost, for the writer of the post, never for who reposted it.
 *
 * Test URLs: https://bsky.app/, https://bsky.app/profile/bsky.app/post/ID
 * Relies on: `data-testid` feedItem-by-HANDLE and postThreadItem-by-HANDLE (the writer's), replyBtn, likeBtn, repostBtn,
 *   repostDropdownRepostBtn; a link to `/profile/HANDLE/post/ID`, or the page's own address. It has no aria-pressed, and its
 *   labels are in thirty languages: a button that is on is filled with another colour than the reply button beside it.
 * Nothing on Bluesky is private.
 * Checked 2026-11-24 against the public source (bluesky-social/social-app); not on the live network.
 */
/** @type {any} */ (globalThis).networks ??= {};
/** @type {any} */ (globalThis).networks.bluesky = /** @satisfies {import('./index.js').Network} */ ({
  id: 'bluesky',
  name: 'Bluesky',
  hosts: ['bsky.app'],
  pays: /^https:\/\/bsky\.app\/profile\/[\w.:-]+\/post\/\w+$/,
  controls: '[data-testid="likeBtn"]',

  control(at, look) {
    const ITEMS = '[data-testid^="feedItem-by-"], [data-testid^="postThreadItem-by-"]';
    const button = look.up(at, '[data-testid="likeBtn"], [data-testid="repostBtn"]');
    const item = button && look.up(button, ITEMS);
    const path = item && pathOf(item);
    if (!button || !path) return null;
    const name = look.attr(button, 'data-testid');
    const url = location.origin + path;
    return {
      act: name === 'likeBtn' ? 'like' : 'repost',
      work: { url, title: look.text(look.one('[data-testid="postText"]', item)) },
      page: { url, title: `@${path.split('/')[2]}` },
      isOn: () => {
        const [now] = look.all(ITEMS).filter((one) => pathOf(one) === path);
        const colours = now && [name, 'replyBtn'].map((id) => fill(look.one(`[data-testid="${id}"]`, now)));
        return colours?.[0] && colours[1] ? colours[0] !== colours[1] : null;
      },
      ...(name === 'repostBtn' && { confirm: '[data-testid="repostDropdownRepostBtn"]' }),
    };

    /** A post in full is the page's own, and links only to who liked it. */
    function pathOf(/** @type {Element} */ post) {
      const handle = look.attr(post, 'data-testid').replace(/^\w+-by-/, '');
      const paths = look.all('a[href*="/post/"]', post).map((link) => look.url(link)?.pathname ?? '');
      const posts = [...paths, location.pathname].map((one) => /^\/profile\/([^/]+)\/post\/\w+/.exec(one));
      return posts.find((found) => found?.[1] === handle)?.[0] ?? null;
    }

    function fill(/** @type {Element | null} */ control) {
      const shape = control && look.one('svg [fill], svg[fill]:not([fill="none"])', control);
      return shape ? look.attr(shape, 'fill') : '';
    }
  },

  expected: () => location.pathname === '/',
});
