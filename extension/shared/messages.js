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
 * @property {number} [place]  the reader's own among those who promised this site a share; 0 below three of them
 * @property {string | null} [thanks]  what the owner says to who flattrs them
 * @property {boolean} [shared]  a platform's host: the address does not say whose page it is
 *
 * @typedef {'keep' | 'repeat' | 'charity'} Ending  what becomes of a month that pays nobody
 *
 * @typedef {object} Me
 * @property {string} email
 * @property {string} period
 * @property {string} ends_at
 * @property {string} currency
 * @property {number} budget_micros
 * @property {number} balance_micros
 * @property {number} pot_micros
 * @property {number} owners
 * @property {number} share_micros
 * @property {number} projected_share_micros
 * @property {Ending} [empty_month]
 * @property {Ending[]} [empty_month_choices]  those that the server offers
 * @property {string | null} [charity]
 * @property {number} [repeat_owners]  how many people a repeat would pay
 *
 * How one page stands, as the popup shows it.
 * @typedef {object} View
 * @property {'sending' | 'waiting' | 'unconnected' | 'disconnected' | 'counts' | 'promise' | 'undone' | 'refused'
 *   | 'practice'} kind
 * @property {string} url
 * @property {string} title
 * @property {Click | null} click
 * @property {Refusal | null} refusal
 * @property {Me | null} me
 * @property {Queue} queue
 * @property {string} server
 * @property {Wedge[]} wedges  the people on this month's list, in the order in which they joined it
 * @property {boolean} elsewhere  a link was flattred: this is not the page in the tab
 * @property {Like[]} likes  that wait for the reader's word
 *
 * @typedef {{name: string, mine: boolean}} Wedge
 *
 * Presses and undos the server does not know yet: how many, why they wait, and when (ms) they are tried again.
 * @typedef {object} Queue
 * @property {number} length
 * @property {'sending' | 'unconnected' | 'disconnected' | 'unreached' | 'busy' | 'stumbled'} reason
 * @property {number | null} next
 * @typedef {{url: string, title: string, undo: boolean, refusal: Refusal | null}} Waiting
 *
 * @typedef {object} Month  as this browser knows it; `fresh` asks the server
 * @property {Me | null} me
 * @property {Click[] | null} clicks  newest first; null: nothing is known yet
 * @property {Waiting[]} waiting
 * @property {Queue} queue
 * @property {boolean} connected
 * @property {string} server
 * @property {Like[]} likes  that wait, and that were counted
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
 * @property {Me | null} me
 * @property {Waiting[]} waiting
 * @property {Queue} queue
 * @property {boolean} practised
 * @property {Switch[]} networks
 * @property {boolean} at_once  likes do not wait for the reader's word
 *
 * @typedef {import('../networks/index.js').Act} Act
 * @typedef {import('../networks/index.js').Work} Work
 * @typedef {{act: Act, work: Work, page: Work}} Liked
 *
 * One page that was liked somewhere, however often.
 * @typedef {object} Like
 * @property {Work} page  what is sent for it
 * @property {string} network  whose name is shown: that of a Mastodon server is its host
 * @property {{act: Act, work: Work, at: number}[]} sources  oldest first
 * @property {string | null} counted  when: `clicked_at` of the press that it became; null: it waits
 *
 * @typedef {object} Switch  of a network, or of one server of it
 * @property {string} host
 * @property {string} name
 * @property {string} id
 * @property {boolean} on
 * @property {number | null} silent_since  (ms) nothing is recognised there any more
 *
 * @typedef {object} Messages
 * @property {(ask: {tabId: number}) => Promise<View | null>} press  null: not flattrable, My month says why
 * @property {(ask: {url: string}) => Promise<View | null>} look
 * @property {(ask: {url: string, tabId?: number}) => Promise<void>} again
 * @property {(ask: {url: string, tabId?: number}) => Promise<void>} undo
 * @property {(ask: {click: Click}) => Promise<void>} undoListed  as `month` lists it
 * @property {(ask: {url: string}) => Promise<void>} seen
 * @property {() => Promise<void>} retry  what waits
 * @property {() => Promise<Month>} month
 * @property {() => Promise<boolean>} fresh  ask the server for list and money; false: it could not be asked
 * @property {(ask: {budget_micros?: number, empty_month?: Ending}) => Promise<string | null>} decide  null: done; why not
 * @property {(ask: {fresh?: boolean}) => Promise<Pairing>} connect
 * @property {() => Promise<Settings>} settings
 * @property {(ask: {server: string}) => Promise<boolean>} moveTo  false: not an address we talk to
 * @property {() => Promise<void>} disconnect
 * @property {(ask: {dark: boolean}) => Promise<void>} wear  which icons can be seen on this browser
 * @property {(ask: {host: string, on: boolean}) => Promise<void>} notice  likes there; the browser has been asked before
 * @property {(ask: {at_once: boolean}) => Promise<void>} countAtOnce
 * @property {(ask: {urls: string[]}) => Promise<void>} countLikes  by their pages
 * @property {(ask: {urls: string[]}) => Promise<void>} uncountLikes  take back, and let them wait again
 * @property {(ask: {urls: string[]}) => Promise<void>} clearLikes
 * @property {(ask: {likes: Like[]}) => Promise<void>} restoreLikes  as they were before they were cleared
 * @property {(ask: Liked, sender: Sender) => Promise<boolean>} liked  false: nobody wants to know there
 * @property {(ask: Liked, sender: Sender) => Promise<boolean>} unliked
 * @property {(ask: {any: boolean}, sender: Sender) => Promise<boolean>} recognised  on a page with like buttons
 * @typedef {chrome.runtime.MessageSender} Sender
 */

/** What scripts in pages may say. They may say nothing else, and our own pages never say these. */
const FROM_NETWORKS = new Set(['liked', 'unliked', 'recognised']);

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
  chrome.runtime.onMessage.addListener((message, sender, respond) => {
    const isOurs = Boolean(sender.url?.startsWith(chrome.runtime.getURL('/')));
    const handler = /** @type {((body: unknown, sender: Sender) => Promise<unknown>) | undefined} */ (
      Object.hasOwn(handlers, message.type) ? handlers[/** @type {keyof Messages} */ (message.type)] : undefined
    );
    if (!handler || isOurs === FROM_NETWORKS.has(message.type)) return false;
    handler(message.body, sender).then(
      (value) => respond({ value: value ?? null }),
      (error) => respond({ error: String(error) }),
    );
    return true; // the answer comes later
  });
}
