/**
 * What the reader wants of each page, and what the server knows of it. One storage key per page, `page:URL`; the outbox
 * is every entry where the two differ. So a press or an undo is one write, in any order, and outlives the worker.
 */
import { callAsUser } from './api.js';
import { currentPeriod, device } from './device.js';

/**
 * @typedef {import('../shared/messages.js').Click} Click
 * @typedef {import('../shared/messages.js').Refusal} Refusal
 * @typedef {{url: string, owner_id: string | null, title: string, clicked_at: string}} Press  sent as it is, every time
 *
 * @typedef {object} Entry
 * @property {Press} press
 * @property {string} period
 * @property {boolean} wanted  false: taken back
 * @property {boolean} tried  the server may have it: a request went out, whatever became of its answer
 * @property {boolean} gone  the server has confirmed the undo
 * @property {Click | null} click  the server's answer
 * @property {Refusal | null} refusal
 */

/**
 * @typedef {object} Retries  what became of the last run
 * @property {number} failures  in a row
 * @property {number} not_before  the server asked for patience until then
 * @property {import('../shared/messages.js').Queue['reason']} reason
 */

const PREFIX = 'page:';
const RETRIES = 'retries';
const ALARM = 'outbox';
const FIRST_RETRY_MINUTES = 0.5;
const LAST_RETRY_MINUTES = 60;

/** @param {Entry} entry */
export function isWaiting(entry) {
  if (entry.refusal) return false;
  return entry.wanted ? !entry.click : entry.tried && !entry.gone;
}

/** @returns {Promise<Entry[]>}  oldest press first */
export async function entries() {
  const stored = Object.entries(await chrome.storage.local.get(null));
  const all = stored.filter(([key]) => key.startsWith(PREFIX)).map(([, entry]) => /** @type {Entry} */ (entry));
  return all.sort((a, b) => a.press.clicked_at.localeCompare(b.press.clicked_at));
}

/**
 * @param {string} url
 * @returns {Promise<Entry | undefined>}
 */
export async function entryFor(url) {
  const key = PREFIX + url;
  return /** @type {Entry | undefined} */ ((await chrome.storage.local.get(key))[key]);
}

/** @type {Promise<unknown>} Writes take turns: reading an entry and writing it back are two steps. */
let turn = Promise.resolve();

/**
 * @param {string} url
 * @param {(entry: Entry | undefined) => Entry | undefined} change  undefined: leave it
 */
export function change(url, change) {
  const mine = turn.then(async () => {
    const entry = change(await entryFor(url));
    if (entry) await chrome.storage.local.set({ [PREFIX + url]: entry });
  });
  turn = mine.catch(() => undefined);
  return mine;
}

/**
 * What the reader decides. The alarm comes first: stopped right after the decision was stored, the background is woken.
 * @param {string} url
 * @param {(entry: Entry | undefined) => Entry | undefined} decision  undefined: leave it
 */
async function decide(url, decision) {
  if (!(await chrome.alarms.get(ALARM))) await chrome.alarms.create(ALARM, { delayInMinutes: FIRST_RETRY_MINUTES });
  await change(url, decision);
}

/**
 * A press of the toolbar button. A page already flattred or taken back this month keeps its state.
 * @param {import('../shared/urls.js').Page} page
 */
export async function press(page) {
  const period = currentPeriod(await device());
  await decide(page.url, (old) => {
    const stands = old && (isWaiting(old) || (old.refusal ? !old.refusal.seen : old.period === period));
    return stands ? undefined : fresh({ ...page, clicked_at: new Date().toISOString() }, period, false);
  });
}

/**
 * Flattr a page again after taking it back.
 * @param {string} url
 */
export async function pressAgain(url) {
  const period = currentPeriod(await device());
  await decide(url, (old) => {
    if (!old || (old.wanted && !old.refusal)) return undefined;
    // The server may still hold the first press: then an undo of this one has to reach it, too.
    return fresh({ ...old.press, clicked_at: new Date().toISOString() }, period, isWaiting(old));
  });
}

/** @param {string} url */
export async function takeBack(url) {
  await decide(url, (old) => (old && !old.refusal ? { ...old, wanted: false } : undefined));
}

/**
 * Take back what the server lists, in whichever browser it was flattred.
 * @param {Click} click
 */
export async function takeBackListed(click) {
  const known = (await entries()).find((entry) => entry.click?.page_id === click.page_id);
  const press = known?.press ?? pressOf(click);
  await decide(press.url, () => ({ ...fresh(press, click.period, true), click, wanted: false }));
  return press.url;
}

/**
 * @param {Press} press
 * @param {string} period
 * @param {boolean} tried
 * @returns {Entry}
 */
function fresh(press, period, tried) {
  return { press, period, wanted: true, tried, gone: false, click: null, refusal: null };
}

/**
 * @param {Click} click
 * @returns {Press}
 */
function pressOf({ url, title, clicked_at }) {
  return { url, owner_id: null, title, clicked_at };
}

/** @type {Promise<void> | null} */
let running = null;
let asked = false;

/** Tell the server everything it does not know. One sender at a time; a call during a run makes it look once more. */
export function flush() {
  asked = true;
  running ??= runs().finally(() => {
    running = null;
  });
  return running;
}

async function runs() {
  while (asked) {
    asked = false;
    await run();
  }
}

async function run() {
  const waiting = (await entries()).filter(isWaiting);
  const { token } = await device();
  if (!waiting.length || !token) return settled();
  const { failures, not_before } = await retries();
  if (not_before > Date.now()) return chrome.alarms.create(ALARM, { when: not_before });
  // Set before the first request: a worker that is stopped in the middle is woken to go on.
  await chrome.alarms.create(ALARM, { delayInMinutes: backoff(failures) });
  const trouble = await sendAll(waiting);
  if (!trouble) return settled();
  const not_yet = { failures: failures + 1, not_before: Date.now() + trouble.wait * 1000, reason: reasonOf(trouble) };
  await chrome.storage.local.set({ [RETRIES]: not_yet });
  await chrome.alarms.create(ALARM, { delayInMinutes: Math.max(trouble.wait / 60, backoff(failures + 1)) });
}

/** @typedef {{stop: boolean, wait: number}} Trouble */

/**
 * @param {Entry[]} waiting
 * @returns {Promise<Trouble | null>}  null: all told, or nobody to tell
 */
async function sendAll(waiting) {
  /** @type {Trouble | null} */
  let trouble = null;
  for (const { press } of waiting) {
    const answer = await send(press.url);
    if (answer?.is === 'unpaired') return null;
    if (answer?.is === 'later') trouble = answer;
    if (trouble?.stop) return trouble;
  }
  return trouble;
}

/**
 * @param {Trouble} trouble
 * @returns {Retries['reason']}
 */
function reasonOf({ stop, wait }) {
  if (wait) return 'busy';
  return stop ? 'unreached' : 'stumbled';
}
/**
 * One page, until reader and server agree: a press taken back while it was on its way is sent, then deleted.
 * @param {string} url
 */
async function send(url) {
  for (;;) {
    const entry = await entryFor(url);
    if (!entry || !isWaiting(entry)) return null;
    const answer = await (entry.wanted || !entry.click ? sendPress(entry) : sendUndo(entry, entry.click));
    if (answer.is === 'later' || answer.is === 'unpaired') return answer;
  }
}

/** @param {Entry} entry */
async function sendPress({ press }) {
  await changeIfSame(press, (entry) => ({ ...entry, tried: true }));
  const answer = await callAsUser('POST', '/clicks', press);
  if (answer.is === 'done') {
    const click = /** @type {Click} */ (answer.data);
    await changeIfSame(press, (entry) => ({ ...entry, click, period: click.period }));
  }
  if (answer.is === 'refused') await changeIfSame(press, (entry) => refused(entry, answer));
  return answer;
}

/**
 * @param {Entry} entry
 * @param {Click} click
 */
async function sendUndo({ press }, { page_id, period }) {
  const answer = await callAsUser('DELETE', `/clicks/${page_id}?period=${period}`);
  if (answer.is === 'done') await changeIfSame(press, (entry) => ({ ...entry, gone: true }));
  // Too late: it stays flattred, and the reader is told.
  if (answer.is === 'refused') await changeIfSame(press, (entry) => refused({ ...entry, wanted: true }, answer));
  return answer;
}

/**
 * An answer belongs to the press it was asked for: the reader may have pressed anew meanwhile.
 * @param {Press} press
 * @param {(entry: Entry) => Entry} alter
 */
export function changeIfSame(press, alter) {
  return change(press.url, (now) => (now?.press.clicked_at === press.clicked_at ? alter(now) : undefined));
}

/**
 * @param {Entry} entry
 * @param {Refusal} refusal
 * @returns {Entry}  what was taken back before it could be refused is simply gone
 */
function refused(entry, { code, detail }) {
  return entry.wanted ? { ...entry, refusal: { code, detail, seen: false } } : { ...entry, gone: true };
}

async function settled() {
  await chrome.storage.local.remove(RETRIES);
  await chrome.alarms.clear(ALARM);
}

/** @returns {Promise<Retries>} */
async function retries() {
  const stored = await chrome.storage.local.get({ [RETRIES]: { failures: 0, not_before: 0, reason: 'sending' } });
  return /** @type {Retries} */ (stored[RETRIES]);
}

/** The reader asks for another try; a server that asked for patience still gets it. */
export async function retryNow() {
  const { not_before } = await retries();
  if (not_before <= Date.now()) await chrome.storage.local.remove(RETRIES);
  await flush();
}

/**
 * How much waits, why, and until when.
 * @returns {Promise<import('../shared/messages.js').Queue>}
 */
export async function queue() {
  const { length } = (await entries()).filter(isWaiting);
  const { token, disconnected } = await device();
  if (!token) return { length, reason: disconnected ? 'disconnected' : 'unconnected', next: null };
  const { failures, reason } = await retries();
  const alarm = failures && length ? await chrome.alarms.get(ALARM) : null;
  return { length, reason, next: alarm?.scheduledTime ?? null };
}

/** @param {number} failures */
function backoff(failures) {
  return Math.min(FIRST_RETRY_MINUTES * 2 ** failures, LAST_RETRY_MINUTES);
}

/**
 * Another user, another server: what the last one knew is not true there. Presses that wait are for whoever comes next.
 */
export async function forgetAnswers() {
  await chrome.storage.local.remove(['me', 'list', RETRIES]);
  for (const entry of await entries()) {
    if (entry.wanted && isWaiting(entry)) await changeIfSame(entry.press, (now) => ({ ...now, tried: false }));
    else await chrome.storage.local.remove(PREFIX + entry.press.url);
  }
}

/** What past months left behind, except what the reader has not seen yet. */
export async function tidy() {
  const period = currentPeriod(await device());
  const old = (await entries()).filter((entry) => entry.period !== period && !isWaiting(entry));
  const done = old.filter(({ refusal }) => !refusal || refusal.seen);
  await chrome.storage.local.remove(done.map(({ press }) => PREFIX + press.url));
}
