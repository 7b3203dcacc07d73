/**
 * What a pressed page says about itself.
 * @typedef {object} Facts
 * @property {string} url
 * @property {string | null} canonical  its one canonical link, unless the page has since turned into another
 * @property {string} title
 * @property {string[]} ownerIds  contents of every flattr:id tag in the head
 * @property {string[]} authors  where its author links lead
 */

/**
 * Runs inside the page, once per press: it must not use anything from outside its own braces.
 * @returns {Facts}
 */
export function readFacts() {
  const head = [...(document.head?.children ?? [])];
  const metas = /** @type {HTMLMetaElement[]} */ (head.filter((node) => node instanceof HTMLMetaElement));
  const links = /** @type {HTMLLinkElement[]} */ (head.filter((node) => node instanceof HTMLLinkElement));
  const canonicals = new Set(links.filter(({ rel }) => /(^|\s)canonical(\s|$)/i.test(rel)).map(({ href }) => href));
  // Pages that swap their content in place (video sites) keep the canonical link of what was loaded first.
  const loaded = performance.getEntriesByType('navigation')[0]?.name.split('#')[0];
  const moved = loaded !== undefined && loaded !== location.href.split('#')[0];
  const authors = /** @type {NodeListOf<HTMLAnchorElement | HTMLLinkElement>} */ (
    document.querySelectorAll('a[rel~="author" i][href], link[rel~="author" i][href]')
  );
  return {
    url: location.href,
    canonical: canonicals.size === 1 && !moved ? ([...canonicals][0] ?? null) : null,
    title: document.title,
    ownerIds: metas.filter((meta) => /^flattr:id$/i.test(meta.name.trim())).map((meta) => meta.content),
    authors: [...authors].slice(0, 5).map((link) => link.href),
  };
}
