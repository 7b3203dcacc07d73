/**
 * The networks that a like can be noticed on, each in a file of its own. `docs/networks.md` says how to add one.
 *
 * @typedef {object} Look  see `dom.js`; and `answered`: when the network last said yes to a path, right after a press
 * @property {(selector: string, root?: Element) => Element[]} all
 * @property {(selector: string, root?: Element) => Element | null} one
 * @property {(from: Element, selector: string) => Element | null} up
 * @property {(element: Element) => Element | null} above
 * @property {(element: Element, name: string) => string} attr
 * @property {(element: Element | null) => string} text
 * @property {(name: string) => string} meta
 * @property {(element: Element | null, name?: string) => URL | null} url
 * @property {(element: Element) => boolean} shown
 * @property {(path: string) => number} answered  0: never
 *
 * @typedef {'star' | 'favourite' | 'boost' | 'like' | 'repost' | 'upvote'} Act
 * @typedef {{url: string, title: string}} Work
 *
 * What a press on a like button would do.
 * @typedef {object} Control
 * @property {Act} act
 * @property {Work} work  what is liked; stays in the browser
 * @property {Work} page  what is sent for it: an address that tells whose work it is
 * @property {() => boolean | null} isOn  whether it is liked now, asked again and again; null: cannot be told
 * @property {string} [confirm]  what else the reader has to press, in a menu
 *
 * @typedef {object} Network
 * @property {string} id
 * @property {string} name
 * @property {string[]} hosts  none: the reader names them
 * @property {RegExp} pays  what its pages look like: nothing else is ever sent for its likes
 * @property {string} controls  where its like buttons may be found
 * @property {(at: Element, look: Look) => Control | null} control  the like button that a press on `at` uses
 * @property {(look: Look) => boolean} expected  there must be a like button on this page
 */
import './bluesky.js';
import './github.js';
import './hackernews.js';
import './mastodon.js';
import './x.js';
import './youtube.js';

/** @type {Network[]} */
export const NETWORKS = Object.values(/** @type {any} */ (globalThis).networks);

/** The one of a host; a host of none is a Mastodon server that the reader named. */
export function networkAt(/** @type {string} */ host) {
  const found = NETWORKS.find(({ hosts }) => hosts.includes(host)) ?? NETWORKS.find(({ hosts }) => !hosts.length);
  return /** @type {Network} */ (found);
}
