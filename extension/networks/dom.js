/**
 * How network files look at a page. The page is not trusted: forms and the document let their own fields stand in for
 * their methods (`<input name="closest">`), in our world too, so it is the prototypes that are asked.
 * Every file in this folder but `index.js` runs as a plain script in the page's isolated world.
 */
/** @type {any} */ (globalThis).look ??= (() => {
  const clean = (/** @type {string} */ text) => text.replace(/\s+/g, ' ').trim();

  /** @param {string} selector @param {Element} [root] */
  const all = (selector, root) => [
    .../** @type {NodeListOf<Element>} */ (
      root
        ? Element.prototype.querySelectorAll.call(root, selector)
        : Document.prototype.querySelectorAll.call(document, selector)
    ),
  ];

  /** @param {Element} element @param {string} name */
  const attr = (element, name) => Element.prototype.getAttribute.call(element, name) ?? '';

  const parent = Object.getOwnPropertyDescriptor(Node.prototype, 'parentElement')?.get;

  return {
    all,
    attr,
    above: (/** @type {Element} */ element) => parent?.call(element) ?? null,
    one: (/** @type {string} */ selector, /** @type {Element} */ root) => all(selector, root)[0] ?? null,
    up: (/** @type {Element} */ from, /** @type {string} */ selector) => Element.prototype.closest.call(from, selector),
    text: (/** @type {Element | null} */ element) => [...clean(element?.textContent ?? '')].slice(0, 120).join(''),
    meta: (/** @type {string} */ name) => all(`meta[name="${name}"]`).map((tag) => attr(tag, 'content'))[0] ?? '',

    /** Where an attribute leads; null: nowhere on the web. */
    url(/** @type {Element | null} */ element, name = 'href') {
      const url = element && attr(element, name) ? new URL(attr(element, name), location.href) : null;
      return url && /^https?:$/.test(url.protocol) ? url : null;
    },

    /** Whether it is drawn at all; `seen` in `watch.js` is stricter. */
    shown: (/** @type {Element} */ element) => Element.prototype.checkVisibility.call(element),
  };
})();
