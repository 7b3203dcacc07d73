/**
 * Everything that popup and pages may ask of the background, in one place.
 *
 * @typedef {import('./urls.js').Why} Why
 * @typedef {{public_id: string, name: string | null}} Owner
 * @typedef {{code: string, detail: string, seen?: boolean}} Refusal
 *
 * What the server says about a click.
 * @typedef {object} Click
 * @property {number} page_id
 * @property {string} url
 * @property {string} title
 * @property {string} period
 * @property {string} clicked_at
 * @property {string} site
 * @property {Owner | null} owner
 * @property {string} rule
 * @property {'counts' | 'promise'} state
 * @property {number} [promises]
 * @property {boolean} [shared]  a platform's host: the address does not say whose page it is
 *
 * @typedef {object} Me
 * @property {string} email
 * @property {string} period
 * @property {string} ends_at
 * @property {string} currency
 * @property {number} pot_micros
 * @property {number} owners
 * @property {number} share_micros
 * @property {number} projected_share_micros
 *
 * How one page stands, as the popup shows it.
 * @typedef {object} View
 * @property {'sending' | 'waiting' | 'unconnected' | 'disconnected' | 'counts' | 'promise' | 'undone' | 'refused'} kind
 * @property {string} url
 * @property {string} title
 * @property {Click | null} click
 * @property {Refusal | null} refusal
 * @property {Me | null} me
 * @property {number} waiting  presses and undos the server does not know yet, on all pages
 * @property {string} server
 * @property {Wedge[]} wedges  the people on this month's list, as far as this browser knows their names
 *
 * @typedef {{name: string, mine: boolean}} Wedge
 * @typedef {{url: string, title: string, undo: boolean, refusal: Refusal | null}} Waiting
 *
 * @typedef {object} Month
 * @property {Me | null} me
 * @property {Click[] | null} clicks  null: the server could not be asked
 * @property {Waiting[]} waiting
 * @property {boolean} connected
 * @property {string} server
 *
 * @typedef {object} Pairing
 * @property {'open' | 'expired' | 'connected' | 'unreachable'} state
 * @property {string} [code]
 * @property {string} [connect_url]
 * @property {string} [email]
 * @property {string} server
 *
 * @typedef {object} Settings
 * @property {string} server
 * @property {boolean} connected
 * @property {string | null} email
 * @property {Waiting[]} waiting
 *
 * @typedef {object} Messages
 * @property {(ask: {tabId: number}) => Promise<View | null>} press  null: not flattrable, My month says why
 * @property {(ask: {url: string}) => Promise<View | null>} look
 * @property {(ask: {url: string, tabId?: number}) => Promise<void>} again
 * @property {(ask: {url: string, tabId?: number}) => Promise<void>} undo
 * @property {(ask: {click: Click}) => Promise<void>} undoListed  as `month` lists it
 * @property {(ask: {url: string}) => Promise<void>} seen
 * @property {() => Promise<Month>} month
 * @property {(ask: {fresh?: boolean}) => Promise<Pairing>} connect
 * @property {() => Promise<Settings>} settings
 * @property {(ask: {server: string}) => Promise<boolean>} moveTo  false: not an address we talk to
 * @property {() => Promise<void>} disconnect
 */

/**
 * @template {keyof Messages} K
 * @param {K} type
 * @param {Parameters<Messages[K]>[0]} [body]
 * @returns {Promise<Awaited<ReturnType<Messages[K]>>>}
 */
export async function ask(type, body) {
  const reply = await chrome.runtime.sendMessage({ type, body: body ?? {} });
  if (!reply || 'error' in reply) throw new Error(reply?.error ?? 'no answer');
  return reply.value;
}

/** @param {Messages} handlers */
export function answerWith(handlers) {
  chrome.runtime.onMessage.addListener((message, _sender, respond) => {
    const handler = /** @type {((body: unknown) => Promise<unknown>) | undefined} */ (
      Object.hasOwn(handlers, message.type) ? handlers[/** @type {keyof Messages} */ (message.type)] : undefined
    );
    if (!handler) return false;
    handler(message.body).then(
      (value) => respond({ value: value ?? null }),
      (error) => respond({ error: String(error) }),
    );
    return true; // the answer comes later
  });
}
