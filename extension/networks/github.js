/**
 * GitHub: a star, for the owner of the repository.
 *
 * Test URLs: https://github.com/mastodon/mastodon, https://github.com/trending, https://github.com/topics/blog
 * Relies on: forms with the actions `/OWNER/REPO/star` and `/OWNER/REPO/unstar`, of which one is shown; the meta tags
 *   `octolytics-dimension-repository_nwo` and `-repository_public` on a repository's pages; `user-login`.
 * Private repositories: where the page does not say that a repository is public, nothing is noticed.
 * Checked 2026-11-24 against saved public pages; not on the live network.
 */
/** @type {any} */ (globalThis).networks ??= {};
/** @type {any} */ (globalThis).networks.github = /** @satisfies {import('./index.js').Network} */ ({
  id: 'github',
  name: 'GitHub',
  hosts: ['github.com'],
  pays: /^https:\/\/github\.com\/[\w-]+\/[\w.-]+$/,
  controls: 'form[action$="/star"] button, form[action$="/unstar"] button',

  control(at, look) {
    const button = look.up(at, 'button, input');
    const form = button && look.up(button, 'form[action$="/star"], form[action$="/unstar"]');
    const url = form && look.url(form, 'action');
    const [, repository] =
      (url?.origin === location.origin && /^\/([\w-]+\/[\w.-]+)\/(?:un)?star$/.exec(url.pathname)) || [];
    if (!repository || !isPublic(repository)) return null;
    const work = { url: `${location.origin}/${repository}`, title: repository };
    const shows = (/** @type {string} */ act) => look.all(`form[action$="/${repository}/${act}"]`).some(look.shown);
    return {
      act: 'star',
      work,
      page: work,
      isOn: () => (shows('unstar') ? true : shows('star') ? false : null),
    };

    /** @param {string} name */
    function isPublic(name) {
      if (/^\/(trending|topics|collections|explore)\b/.test(location.pathname)) return true;
      const here = look.meta('octolytics-dimension-repository_nwo').toLowerCase() === name.toLowerCase();
      return here && look.meta('octolytics-dimension-repository_public') === 'true';
    }
  },

  expected: (look) =>
    Boolean(look.meta('user-login')) && Boolean(look.one(`a[href="${CSS.escape(location.pathname)}/stargazers"]`)),
});
