/**
 * X: a like or a repost, for the writer of the post, never for who reposted it.
 *
 * Test URLs: https://x.com/home, https://x.com/NAME/status/ID
 * Relies on: `data-testid` like and unlike, retweet and unretweet, retweetConfirm and unretweetConfirm; an `article` per post,
 *   whose time links to `/NAME/status/ID` (a post quoted in it has no such link); `icon-lock` beside a protected name.
 * Protected accounts: nothing is noticed on a post that shows a lock.
 * Checked 2026-11-24 against what public tools and tests of others rely on; not on the live network.
 */
/** @type {any} */ (globalThis).networks ??= {};
/** @type {any} */ (globalThis).networks.x = /** @satisfies {import('./index.js').Network} */ ({
  id: 'x',
  name: 'X',
  hosts: ['x.com'],
  pays: /^https:\/\/x\.com\/\w{1,15}\/status\/\d+$/,
  controls: '[data-testid="like"], [data-testid="unlike"]',

  control(at, look) {
    const button = look.up(
      at,
      '[data-testid="like"], [data-testid="unlike"], [data-testid="retweet"], [data-testid="unretweet"]',
    );
    const post = button && look.up(button, 'article');
    const path = post && pathOf(post);
    if (!button || !path || look.one('[data-testid="icon-lock"]', post)) return null;
    const act = /like$/.test(look.attr(button, 'data-testid')) ? 'like' : 'repost';
    const off = act === 'like' ? 'like' : 'retweet';
    const url = location.origin + path;
    return {
      act,
      work: { url, title: look.text(look.one('[data-testid="tweetText"]', post)) },
      page: { url, title: `@${path.split('/')[1]}` },
      isOn: () => {
        const buttons = look
          .all(`[data-testid="${off}"], [data-testid="un${off}"]`)
          .filter((one) => pathOf(look.up(one, 'article')) === path);
        return buttons[0] ? look.attr(buttons[0], 'data-testid') === `un${off}` : null;
      },
      ...(act === 'repost' && { confirm: '[data-testid="retweetConfirm"], [data-testid="unretweetConfirm"]' }),
    };

    function pathOf(/** @type {Element | null} */ article) {
      const time = article && look.all('a[href*="/status/"] time', article)[0];
      const path = time && look.url(look.up(time, 'a'))?.pathname;
      return /^\/\w{1,15}\/status\/\d+/.exec(path || '')?.[0] ?? null;
    }
  },

  expected: () => location.pathname === '/home',
});
