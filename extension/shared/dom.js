/** Building pages. Words of strangers only ever become text, never markup. */
import { locale, t } from './text.js';

/** @param {string} id */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** Fill in every element that names its words. */
export function translate() {
  document.documentElement.lang = locale();
  for (const node of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-text]'))) {
    node.textContent = t(node.dataset['text'] ?? '');
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} properties
 * @param {(Node | string)[]} children
 */
export function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
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
  if (!/^https?:\/\//.test(url)) return make('span', {}, words);
  return make('a', { href: url, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, words);
}

/** @param {keyof typeof PAGES} page */
export async function openPage(page) {
  await chrome.tabs.create({ url: PAGES[page] });
}

const PAGES = { connect: '/pages/connect.html', month: '/pages/month.html' };
