/** Building pages. Words of strangers only ever become text, never markup. */
import { ask } from './messages.js';
import { direction, locale, t } from './text.js';

/** @param {string} id */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** Put a page into the reader's language, and the button's picture into colours that can be seen here. */
export function dress() {
  document.documentElement.lang = locale();
  document.documentElement.dir = direction();
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-text]'))) {
    node.textContent = t(node.dataset['text'] ?? '');
  }
  // Only a page can ask which colours the browser wears; its background cannot. That is for when all else is done.
  requestIdleCallback(() => ask('wear', { dark: matchMedia('(prefers-color-scheme: dark)').matches }));
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties, ...children) {
  const node = document.createElement(tag);
  Object.assign(node, properties);
  node.append(...children);
  return node;
}

/**
 * A link to a page that strangers named.
 * @param {string} url
 * @param {string} title
 */
export function link(url, title) {
  const words = title || url;
  if (!/^https?:\/\//.test(url)) return make('bdi', {}, words);
  return make('a', { href: url, dir: 'auto', target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, words);
}

/**
 * Draw a list anew, if it changed: who is at its third button with the keyboard stays at the third.
 * @param {HTMLElement} place
 * @param {unknown} known  what it is drawn from
 * @param {() => (Node | string)[]} draw
 */
export function redraw(place, known, draw) {
  const text = JSON.stringify(known);
  if (place.dataset['shown'] === text) return;
  place.dataset['shown'] = text;
  const at = [...place.querySelectorAll('button')].indexOf(/** @type {any} */ (document.activeElement));
  place.replaceChildren(...draw());
  if (at >= 0)
    [...place.querySelectorAll('button')]
      .slice(0, at + 1)
      .at(-1)
      ?.focus();
}

/** @param {keyof typeof PAGES} page */
export async function openPage(page) {
  await chrome.tabs.create({ url: PAGES[page] });
}

const PAGES = { connect: '/pages/connect.html', month: '/pages/month.html' };
