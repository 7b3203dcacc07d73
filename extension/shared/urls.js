/** Which page a press means, and whether that page can be flattred at all. The server checks both again. */
import { TRACKING } from './tracking.js';

/**
 * @typedef {import('../page/facts.js').Facts} Facts
 * @typedef {{url: string, title: string, owner_id: string | null}} Page
 * @typedef {'unreadable' | 'not_web' | 'ip_address' | 'no_public_name' | 'port'} Why
 */

// Special-use names (RFC 6761 and later), and names that private networks made up.
const SPECIAL =
  /\.(alt|arpa|corp|example|home|internal|intranet|invalid|lan|local|localdomain|localhost|onion|private|test)$/;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\]|.+\.test)$/;
const MAX_TITLE = 300;
const MAX_ID = 64;

/** @param {string} server  One on this computer is a developer's: pages on this computer count there. */
export function isDevServer(server) {
  return /^http:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(server);
}

/**
 * @param {string} text
 * @returns {string | null}  the origin to talk to; null also where the token would cross a network in the clear
 */
export function serverAddress(text) {
  const url = parse(text.trim());
  if (!url || url.username || url.password || url.search || url.hash || url.pathname !== '/') return null;
  return url.protocol === 'https:' || isDevServer(url.origin) ? url.origin : null;
}

/**
 * @param {Facts | null} facts  null: the browser did not let us look
 * @param {string} server
 * @returns {Page | {why: Why}}
 */
export function pageOf(facts, server) {
  const seen = facts && cleanUrl(facts.url);
  if (!facts || !seen) return { why: 'unreadable' };
  const why = notFlattrable(seen, server);
  if (why) return { why };
  const canonical = facts.canonical ? cleanUrl(facts.canonical) : null;
  const url = canonical && sameSite(canonical, seen) ? canonical : seen;
  return { url: url.href, title: shortened(facts.title), owner_id: ownerId(facts.ownerIds) };
}

/**
 * The canonical form: no user, no fragment, no tracking, no trailing dots.
 * @param {string} text
 */
export function cleanUrl(text) {
  const url = parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) return url;
  url.username = url.password = url.hash = '';
  url.hostname = url.hostname.replace(/\.+$/, '');
  url.pathname = url.pathname.replaceAll('|', '%7C').replaceAll('^', '%5E');
  // The query is cut, never written anew: URLSearchParams would respell what stays.
  const kept = url.search.slice(1).split('&').filter(isKept).join('&');
  url.search = kept && `?${kept}`;
  return url;
}

/** @param {string} piece  `name=value`, as spelled in the query */
function isKept(piece) {
  const [name = ''] = piece.split('=');
  return piece && !TRACKING.names.includes(name) && !TRACKING.prefixes.some((prefix) => name.startsWith(prefix));
}

/**
 * @param {URL} url
 * @param {string} server
 * @returns {Why | null}
 */
function notFlattrable(url, server) {
  const host = url.hostname;
  if (!/^https?:$/.test(url.protocol)) return 'not_web';
  if (isDevServer(server) && LOOPBACK.test(host)) return null;
  // The URL parser has already turned every spelling of an address (0x7f.1, 017700000001) into this one.
  if (host.startsWith('[') || /^\d+(\.\d+){3}$/.test(host)) return 'ip_address';
  if (!/[^.]\.[^.]/.test(host) || SPECIAL.test(host)) return 'no_public_name';
  return url.port ? 'port' : null;
}

/**
 * @param {URL} one
 * @param {URL} other
 */
function sameSite(one, other) {
  return /^https?:$/.test(one.protocol) && bareHost(one) === bareHost(other);
}

/** @param {URL} url */
function bareHost(url) {
  return url.host.replace(/^(www\.)+/, '');
}

/**
 * Two different ids on one page contradict each other, so neither is passed on.
 * @param {string[]} contents
 */
function ownerId(contents) {
  const ids = new Set(contents.map((content) => content.trim()).filter(Boolean));
  const [id = ''] = ids;
  return ids.size === 1 && id.length <= MAX_ID ? id : null;
}

/** @param {string} title */
function shortened(title) {
  return [...title.trim().replace(/\p{Surrogate}/gu, '\uFFFD')].slice(0, MAX_TITLE).join('');
}

/** @param {string} text */
function parse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
