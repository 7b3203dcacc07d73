/**
 * A browser's `chrome`, as far as the extension uses it, and as it behaves: storage is copied and takes its time, what
 * changed is announced, messages are copied, and any call fails when the test says so.
 */
import { readFileSync } from 'node:fs';

const WORDS = JSON.parse(readFileSync(new URL('../../extension/_locales/en/messages.json', import.meta.url), 'utf8'));

class Event {
  /** @type {Function[]} */
  listeners = [];

  addListener(/** @type {Function} */ listener) {
    this.listeners.push(listener);
  }

  emit(/** @type {unknown[]} */ ...values) {
    return this.listeners.map((listener) => listener(...values));
  }
}

/** @param {any} value  storage and messages carry JSON */
const copy = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
const later = () => new Promise((resolve) => setImmediate(resolve));
export const never = () => new Promise(() => undefined);

export class FakeChrome {
  /** @type {Map<string, any>} what a profile keeps when the browser closes */
  kept = new Map();
  /** @type {Map<number, {url: string, title: string, facts?: object}>} */
  pages = new Map();
  /** @type {string[]} addresses of the tabs that the extension opened */
  opened = [];
  /** @type {Map<string, Error[]>} */
  failures = new Map();
  badge = '';
  /** How many calls were made, to tell when all is quiet. */
  calls = 0;
  life = 0;
  /** @type {Map<number, string>} */
  icons = new Map();
  /** @type {Map<string, {delayInMinutes?: number, when?: number, periodInMinutes?: number}>} */
  alarmsSet = new Map();

  constructor() {
    this.forgetListeners();
  }

  /** The background was stopped: what it waited for never comes, and nobody listens until it starts again. */
  forgetListeners() {
    this.life += 1;
    this.runtime = this.#runtime();
    this.storage = { local: this.#local(), onChanged: new Event() };
    this.alarms = this.#alarms();
    this.contextMenus = { onClicked: new Event(), removeAll: later, create: later };
    this.action = this.#action();
    this.tabs = this.#tabs();
    this.scripting = { executeScript: (/** @type {any} */ { target }) => this.#look(target.tabId) };
    this.i18n = { getMessage: words, getUILanguage: () => 'en' };
  }

  /** Let the next call of `storage.local.set` or the like reject, once per message. */
  fail(/** @type {string} */ call, /** @type {string[]} */ ...messages) {
    this.failures.set(
      call,
      messages.map((message) => new Error(message)),
    );
  }

  async #turn(/** @type {string} */ call) {
    this.calls += 1;
    const { life } = this;
    await later();
    if (life !== this.life) await never(); // the caller was stopped while it waited
    const error = this.failures.get(call)?.shift();
    if (error) throw error;
  }

  #runtime() {
    const onMessage = new Event();
    return {
      onMessage,
      onInstalled: new Event(),
      onStartup: new Event(),
      getPlatformInfo: async () => ({ os: 'linux' }),
      getURL: (/** @type {string} */ path) => `chrome-extension://flattr/${path}`,
      openOptionsPage: async () => {
        this.opened.push('/pages/settings.html');
      },
      sendMessage: async (/** @type {object} */ message) => {
        await later();
        return new Promise((resolve, reject) => {
          const waits = onMessage.emit(copy(message), {}, (/** @type {object} */ reply) => resolve(copy(reply)));
          if (!waits.includes(true)) reject(new Error('Could not establish connection. Receiving end does not exist.'));
        });
      },
    };
  }

  #local() {
    return {
      get: async (/** @type {any} */ query) => {
        await this.#turn('storage.local.get');
        if (query === null || query === undefined) return copy(Object.fromEntries(this.kept));
        const defaults = typeof query === 'object' && !Array.isArray(query) ? query : {};
        const names = typeof query === 'string' ? [query] : Array.isArray(query) ? query : Object.keys(query);
        const found = names.filter((name) => this.kept.has(name)).map((name) => [name, this.kept.get(name)]);
        return copy({ ...defaults, ...Object.fromEntries(found) });
      },
      set: async (/** @type {object} */ values) => {
        await this.#turn('storage.local.set');
        this.#write(Object.entries(copy(values)));
      },
      remove: async (/** @type {string | string[]} */ names) => {
        await this.#turn('storage.local.remove');
        this.#write([names].flat().map((name) => [name, undefined]));
      },
    };
  }

  #write(/** @type {[string, any][]} */ entries) {
    /** @type {Record<string, {oldValue?: any, newValue?: any}>} */
    const changes = {};
    for (const [name, newValue] of entries) {
      const oldValue = this.kept.get(name);
      if (JSON.stringify(oldValue) === JSON.stringify(newValue)) continue;
      changes[name] = { oldValue, newValue };
      if (newValue === undefined) this.kept.delete(name);
      else this.kept.set(name, newValue);
    }
    if (Object.keys(changes).length) setImmediate(() => this.storage?.onChanged.emit(copy(changes), 'local'));
  }

  #alarms() {
    return {
      onAlarm: new Event(),
      create: async (/** @type {string} */ name, /** @type {object} */ when) => {
        this.alarmsSet.set(name, when);
      },
      clear: async (/** @type {string} */ name) => this.alarmsSet.delete(name),
    };
  }

  #action() {
    return {
      setBadgeText: async (/** @type {{text: string}} */ { text }) => {
        await this.#turn('action.setBadgeText');
        this.badge = text;
      },
      setBadgeBackgroundColor: () => this.#turn('action.setBadgeBackgroundColor'),
      setBadgeTextColor: () => this.#turn('action.setBadgeTextColor'),
      setIcon: async (/** @type {{tabId: number, path: Record<string, string>}} */ { tabId, path }) => {
        if (!this.pages.has(tabId)) throw new Error(`No tab with id: ${tabId}.`);
        this.icons.set(tabId, path['16'] ?? '');
      },
    };
  }

  #tabs() {
    return {
      create: async (/** @type {{url: string}} */ { url }) => {
        this.opened.push(url);
      },
      get: async (/** @type {number} */ id) => {
        const page = this.pages.get(id);
        if (!page) throw new Error(`No tab with id: ${id}.`);
        return { id, url: page.url, title: page.title };
      },
    };
  }

  async #look(/** @type {number} */ tabId) {
    await this.#turn('scripting.executeScript');
    const facts = this.pages.get(tabId)?.facts;
    if (!facts) throw new Error('Cannot access a chrome:// URL');
    return [{ result: copy(facts) }];
  }
}

/**
 * As `chrome.i18n.getMessage`: `$1` is the first value, and a name that does not exist is ''.
 * @param {string} name
 * @param {string[]} [values]
 */
function words(name, values = []) {
  const message = WORDS[name]?.message ?? '';
  return message.replaceAll(
    /\$([1-9])/g,
    (/** @type {string} */ _, /** @type {string} */ n) => values[Number(n) - 1] ?? '',
  );
}
