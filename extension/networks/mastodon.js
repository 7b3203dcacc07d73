/**
 * Mastodon, on any server that the reader names: a favourite or a boost, for the writer of the post, never for who boosted
 * it. A post from another server is sent as its writer's page at home: which server the reader is on stays here.
 *
 * Test URLs: https://mastodon.social/home, https://mastodon.social/@Mastodon/ID
 * Relies on: the second and third button of a post's bar (boost, favourite: so in every version since 2), and the server's
 *   yes to `POST /api/v1/statuses/ID/favourite`, `unfavourite`, `reblog` or `unreblog`, which is Mastodon's documented API:
 *   labels and icons change with language and version, this does not. The post's time, which links to `/@NAME/ID`.
 * Private posts: a post tells who may see it in its class alone (`status-private`), and cannot be boosted; in the design of
 *   2026 it cannot be shared, which leaves five buttons. What does not say that it is public is not noticed.
 * Checked 2026-11-24 against the public source (mastodon/mastodon); not on a live server.
 */
/** @type {any} */ (globalThis).networks ??= {};
/** @type {any} */ (globalThis).networks.mastodon = /** @satisfies {import('./index.js').Network} */ ({
  id: 'mastodon',
  name: 'Mastodon',
  hosts: [],
  pays: /^https:\/\/[\w.-]+\/@[\w.-]+(\/\d+)?$/,
  controls: 'button',

  control(at, look) {
    const VISIBILITIES = ['public', 'unlisted', 'private', 'direct'];
    const MARKED = VISIBILITIES.map((name) => `[class*="status-${name}"], [class*="status__wrapper-${name}"]`).join();
    const button = look.up(at, 'button');
    const post = button && (look.up(button, MARKED) ?? look.up(button, 'article'));
    const buttons = post ? barOf(button, post) : [];
    const act = /** @type {('boost' | 'favourite' | undefined)[]} */ ([undefined, 'boost', 'favourite'])[
      button ? buttons.indexOf(button) : -1
    ];
    const path = post && pathOf(post);
    if (!act || !path || !isPublic(post)) return null;
    const [, name = '', home = location.host, id = ''] = /^\/@([\w.-]+)(?:@([\w.-]+))?\/(\d+)$/.exec(path) ?? [];
    if (!id) return null;
    const [on, off] = act === 'boost' ? ['reblog', 'unreblog'] : ['favourite', 'unfavourite'];
    const answered = (/** @type {string} */ verb) => look.answered(`/api/v1/statuses/${id}/${verb}`);
    return {
      act,
      work: { url: location.origin + path, title: look.text(look.one('[lang]', post)) },
      page: { url: `https://${home}/@${name}${home === location.host ? `/${id}` : ''}`, title: `@${name}@${home}` },
      isOn: () => (answered(on) === answered(off) ? null : answered(on) > answered(off)),
    };

    function barOf(/** @type {Element} */ start, /** @type {Element} */ end) {
      for (let place = look.above(start); place && place !== end; place = look.above(place)) {
        const inside = look.all('button', place);
        if (inside.length > 3) return inside;
      }
      return [];
    }

    /** The post that the page is about shows its date without a link to itself, but others in full if it quotes them. */
    function pathOf(/** @type {Element} */ status) {
      if (/detailed/.test(look.attr(status, 'class'))) return location.pathname;
      const time = look.one('a[href] time', status);
      const found = time && look.url(look.up(time, 'a'));
      return found?.origin === location.origin ? found.pathname : null;
    }

    function isPublic(/** @type {Element} */ status) {
      const marks = VISIBILITIES.filter((name) =>
        new RegExp(`(^|\\s)[\\w-]*status(__wrapper)?-${name}(\\s|$)`).test(look.attr(status, 'class')),
      );
      if (marks.some((name) => /private|direct/.test(name)) || buttons[1]?.hasAttribute('disabled')) return false;
      return marks.length > 0 || buttons.length > 5;
    }
  },

  expected: (look) =>
    location.pathname === '/home' && /"me":\s*"\d+"/.test(look.one('script#initial-state')?.textContent ?? ''),
});
