/** The extension's background in Node: started, stopped in the middle of anything, and started again on the same storage. */
import { register } from 'node:module';
import { FakeChrome, never } from './chrome.js';
import { FakeServer } from './server.js';

// A stopped worker loses its variables: each start loads all of its modules anew, as `worker.js?run=N`.
register(
  `data:text/javascript,${encodeURIComponent(`
  export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    const run = /\\?run=\\d+$/.exec(context.parentURL ?? '')?.[0];
    return run && found.url.includes('/extension/') ? { ...found, url: found.url + run } : found;
  }`)}`,
);

let runs = 0;

export class Background {
  chrome = new FakeChrome();
  server = new FakeServer();

  /** Start it connected as Alice; `{ token: '' }`: not connected yet. */
  static async started({ token = 'flt_alice' } = {}) {
    const background = new Background();
    background.chrome.kept.set('server', 'https://flattr.test');
    if (token) background.chrome.kept.set('token', token);
    await background.start();
    return background;
  }

  /** The browser starts, or an event wakes the worker. */
  async start({ browserStarts = true } = {}) {
    const world = {
      chrome: this.chrome,
      fetch: this.#network(),
      self: new EventTarget(),
      navigator: { userAgent: 'Test' },
    };
    for (const [name, value] of Object.entries(world))
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    runs += 1;
    await import(`../../extension/background/worker.js?run=${runs}`);
    if (browserStarts) this.chrome.runtime?.onStartup.emit();
    await this.quiet();
  }

  /** Stopped by the browser: what was under way never ends, and only what is in storage is left. */
  stop() {
    this.chrome.forgetListeners();
  }

  /** An alarm wakes a stopped background. */
  async wakeFor(/** @type {string} */ name) {
    await this.start({ browserStarts: false });
    this.chrome.alarms?.onAlarm.emit({ name });
    await this.quiet();
  }

  async restart() {
    this.stop();
    await this.start();
  }

  /** Just put into the browser. */
  async install() {
    this.chrome.runtime?.onInstalled.emit({ reason: 'install' });
    await this.quiet();
  }

  /** An item of a menu is chosen on the page in front. */
  async choose(/** @type {object} */ info) {
    this.chrome.contextMenus?.onClicked.emit(info, { id: 1 });
    await this.quiet();
  }

  /** What popup and pages ask. */
  async ask(/** @type {string} */ type, /** @type {object} */ body = {}) {
    const reply = await this.chrome.runtime?.sendMessage({ type, body });
    if ('error' in reply) throw new Error(reply.error);
    return reply.value;
  }

  /** What a script in a page of a network says. */
  async hear(/** @type {string} */ type, /** @type {object} */ body, /** @type {object} */ sender) {
    const reply = await this.chrome.runtime?.sendMessage({ type, body }, { frameId: 0, ...sender });
    await this.quiet();
    return reply.value;
  }

  /** Press the toolbar button on a page, and leave the popup open until nothing happens any more. */
  async press(/** @type {string} */ url, /** @type {object} */ facts = {}) {
    const page = { url, canonical: null, title: 'A page', ownerIds: [], authors: [], ...facts };
    this.chrome.pages.set(1, { url, title: page.title, facts: page });
    const view = await this.ask('press', { tabId: 1 });
    await this.quiet();
    return view && this.ask('look', { url: view.url });
  }

  async undo(/** @type {string} */ url) {
    await this.ask('undo', { url });
    await this.quiet();
    return this.ask('look', { url });
  }

  async again(/** @type {string} */ url) {
    await this.ask('again', { url });
    await this.quiet();
    return this.ask('look', { url });
  }

  /** The alarm rings that was set for the next try. */
  async retry() {
    if (!this.chrome.alarmsSet.has('outbox')) throw new Error('no alarm was set for another try');
    this.chrome.alarms?.onAlarm.emit({ name: 'outbox' });
    await this.quiet();
  }

  /** Until neither browser nor server has been asked anything for a while. */
  async quiet() {
    for (let still = 0, seen = -1; still < 10; still += 1) {
      const now = this.chrome.calls + this.server.calls;
      if (now !== seen) still = 0;
      seen = now;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #network() {
    const { life } = this.chrome;
    return async (/** @type {string} */ url, /** @type {RequestInit} */ init) => {
      const outcome = await this.server.fetch(url, init).then(
        (answer) => () => answer,
        (error) => () => {
          throw error;
        },
      );
      if (life !== this.chrome.life) await never(); // nobody is there to hear the answer
      return outcome();
    };
  }
}
