/**
 * YouTube: a like of a video or a short, for its channel. The address of a video does not tell its channel, so the channel's
 * page is what is sent, and the video's never leaves the browser: whether it is unlisted makes no difference.
 *
 * Test URLs: https://www.youtube.com/watch?v=ID, https://www.youtube.com/shorts/ID
 * Relies on: the elements `like-button-view-model` with a button that has aria-pressed, `ytd-watch-metadata` with
 *   `ytd-video-owner-renderer`, `ytd-reel-video-renderer`; a link to `/@NAME` or `/channel/ID` in them. Comments are not noticed.
 * Checked 2026-11-24 against what public tools and tests of others rely on; not on the live network.
 */
/** @type {any} */ (globalThis).networks ??= {};
/** @type {any} */ (globalThis).networks.youtube = /** @satisfies {import('./index.js').Network} */ ({
  id: 'youtube',
  name: 'YouTube',
  hosts: ['www.youtube.com'],
  pays: /^https:\/\/www\.youtube\.com\/(@[^/]+|channel\/[\w-]+)$/,
  controls: 'like-button-view-model button',

  control(at, look) {
    const button = look.up(at, 'like-button-view-model button[aria-pressed]');
    const video = button && look.up(button, 'ytd-watch-metadata, ytd-reel-video-renderer');
    const [, id] = /^\/(?:watch\?(?:.*&)?v=|shorts\/)([\w-]+)/.exec(location.pathname + location.search) ?? [];
    const owner = video && ownerOf(video);
    if (!button || !video || !owner || !id) return null;
    const channel = owner.pathname.replace(/^(\/(?:@[^/]+|channel\/[\w-]+)).*/, '$1');
    const name = ownerLinks(video).map(look.text).find(Boolean);
    return {
      act: 'like',
      work: { url: `${location.origin}/watch?v=${id}`, title: look.text(look.one('h1, h2', video)) },
      page: { url: location.origin + channel, title: name ?? decodeURIComponent(channel.slice(1)) },
      isOn: () => {
        const still = (location.pathname + location.search).includes(id);
        const now = still && look.all('like-button-view-model button[aria-pressed]', video)[0];
        return now ? look.attr(now, 'aria-pressed') === 'true' : null;
      },
    };

    function ownerOf(/** @type {Element} */ place) {
      return look.url(ownerLinks(place)[0] ?? null);
    }

    /** Before the description, which may mention others. */
    function ownerLinks(/** @type {Element} */ place) {
      const owner = look.one('ytd-video-owner-renderer', place) ?? place;
      return look.all('a[href^="/@"], a[href^="/channel/"]', owner);
    }
  },

  expected: () => location.pathname === '/watch',
});
