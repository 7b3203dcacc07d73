/**
 * A browser's `chrome`, as far as the extension uses it, and as it behaves: storage is copied and takes its time, what
 * changed is announced, messages are copied, and any call fails when the test says so.
 */
import { readFileSync } from 'node:fs';

/** @type {Record<string, Record<string, {message: string}>>} */
const WORDS = {};
for (const language of ['en', 'de', 'fr', 'es'])
  WORDS[language] = JSON.parse(
    readFileSync(new URL(`../../extension/_locales/${language}/messages.json`, import.meta.url), 'utf8'),
  );

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
const OURS = { url: 'chrome-extension://flattr/popup/popup.html' };
const later = () => new Promise((resolve) => setImmediate(resolve));
export const never = () => new Promise(() => undefined);

export class FakeChrome {
  /** @type {Map<string, any>} what a profile keeps when the browser closes */
  kept = new Map();
  /** @type {Map<number, {url: string, title: string, facts?: object}>} */
  pages = new Map();
  /** @type {Map<string, any>} what is forgotten when the browser closes, but outlives the background */
  session = new Map();
  /** @type {string[]} addresses of the tabs that the extension opened */
  opened = [];
  /** @type {Map<string, any>} what it put into menus */
  menus = new Map();
  /** @type {(() => Promise<unknown>) | null} what opening the popup does; null: this browser cannot */
  popup = null;
  /** @type {(() => void) | null} what happens while a page is being looked at */
  looked = null;
  /** @type {Set<string>} origins that the reader let the extension onto */
  granted = new Set();
  /** @type {Map<string, any>} scripts for their pages */
  registered = new Map();
  language = 'en';
  isTelephone = false;
  /** @type {Map<string, Error[]>} */
  failures = new Map();
  badge = '';
  /** @type {{call: number, act: () => void} | null} */
  stopAt = null;
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
    this.storage = {
      local: this.#area('local', this.kept),
      session: this.#area('session', this.session),
      onChanged: new Event(),
    };
    this.alarms = this.#alarms();
    this.contextMenus = this.#contextMenus();
    this.action = this.#action();
    this.tabs = this.#tabs();
    if (this.isTelephone) Object.assign(this, { contextMenus: undefined, action: {} });
    this.scripting = {
      executeScript: (/** @type {any} */ { target }) => this.#look(target.tabId),
      getRegisteredContentScripts: async () => [...this.registered.values()],
      registerContentScripts: async (/** @type {any[]} */ scripts) => {
        await this.#turn('scripting.registerContentScripts');
        for (const script of scripts) this.registered.set(script.id, script);
      },
      unregisterContentScripts: async (/** @type {{ids: string[]}} */ { ids }) => {
        await this.#turn('scripting.unregisterContentScripts');
        for (const id of ids) this.registered.delete(id);
      },
    };
    this.permissions = {
      onRemoved: new Event(),
      contains: async (/** @type {{origins: string[]}} */ { origins }) =>
        origins.every((origin) => this.granted.has(origin)),
      remove: async (/** @type {{origins: string[]}} */ { origins }) => {
        for (const origin of origins) this.granted.delete(origin);
        return true;
      },
    };
    this.i18n = {
      getMessage: (/** @type {string} */ name, /** @type {string[]} */ values) => words(this.language, name, values),
      getUILanguage: () => this.language,
    };
  }

  /** Let the next call of `storage.local.set` or the like reject, once per message. */
  fail(/** @type {string} */ call, /** @type {string[]} */ ...messages) {
    this.failures.set(
      call,
      messages.map((message) => new Error(message)),
    );
  }

  /** Do something at the call after the next *calls* ones. */
  stopAfter(/** @type {number} */ calls, /** @type {() => void} */ act) {
    this.stopAt = { call: this.calls + calls + 1, act };
  }

  async #turn(/** @type {string} */ call) {
    const { life } = this;
    this.calls += 1;
    if (this.calls === this.stopAt?.call) this.stopAt.act();
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
      getURL: (/** @type {string} */ path) => `chrome-extension://flattr/${path.replace(/^\//, '')}`,
      openOptionsPage: async () => {
        this.opened.push('/pages/settings.html');
      },
      sendMessage: async (/** @type {object} */ message, /** @type {object} */ sender = OURS) => {
        await later();
        return new Promise((resolve, reject) => {
          const waits = onMessage.emit(copy(message), sender, (/** @type {object} */ reply) => resolve(copy(reply)));
          if (!waits.includes(true)) reject(new Error('Could not establish connection. Receiving end does not exist.'));
        });
      },
    };
  }

  #contextMenus() {
    return {
      onClicked: new Event(),
      removeAll: async () => this.menus.clear(),
      create: (/** @type {{id: string}} */ item) => this.menus.set(item.id, item),
    };
  }

  #area(/** @type {'local' | 'session'} */ area, /** @type {Map<string, any>} */ kept) {
    return {
      get: async (/** @type {any} */ query) => {
        await this.#turn(`storage.${area}.get`);
        if (query === null || query === undefined) return copy(Object.fromEntries(kept));
        const defaults = typeof query === 'object' && !Array.isArray(query) ? query : {};
        const names = typeof query === 'string' ? [query] : Array.isArray(query) ? query : Object.keys(query);
        const found = names.filter((name) => kept.has(name)).map((name) => [name, kept.get(name)]);
        return copy({ ...defaults, ...Object.fromEntries(found) });
      },
      set: async (/** @type {object} */ values) => {
        await this.#turn(`storage.${area}.set`);
        this.#write(area, kept, Object.entries(copy(values)));
      },
      remove: async (/** @type {string | string[]} */ names) => {
        await this.#turn(`storage.${area}.remove`);
        this.#write(
          area,
          kept,
          [names].flat().map((name) => [name, undefined]),
        );
      },
    };
  }

  #write(/** @type {string} */ area, /** @type {Map<string, any>} */ kept, /** @type {[string, any][]} */ entries) {
    /** @type {Record<string, {oldValue?: any, newValue?: any}>} */
    const changes = {};
    for (const [name, newValue] of entries) {
      const oldValue = kept.get(name);
      if (JSON.stringify(oldValue) === JSON.stringify(newValue)) continue;
      changes[name] = { oldValue, newValue };
      if (newValue === undefined) kept.delete(name);
      else kept.set(name, newValue);
    }
    if (Object.keys(changes).length) setImmediate(() => this.storage?.onChanged.emit(copy(changes), area));
  }

  #alarms() {
    return {
      onAlarm: new Event(),
      create: async (/** @type {string} */ name, /** @type {object} */ when) => {
        await this.#turn('alarms.create');
        this.alarmsSet.set(name, when);
      },
      get: async (/** @type {string} */ name) => {
        await this.#turn('alarms.get');
        const alarm = this.alarmsSet.get(name);
        const minutes = alarm?.delayInMinutes ?? alarm?.periodInMinutes ?? 0;
        return alarm && { name, scheduledTime: alarm.when ?? Date.now() + minutes * 60_000 };
      },
      clear: async (/** @type {string} */ name) => {
        await this.#turn('alarms.clear');
        return this.alarmsSet.delete(name);
      },
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
      openPopup: async () => {
        if (!this.popup) throw new Error('Could not find an active browser window.');
        await this.popup();
      },
      setIcon: async (/** @type {{tabId?: number, path: Record<string, string>}} */ { tabId = 0, path }) => {
        if (tabId && !this.pages.has(tabId)) throw new Error(`No tab with id: ${tabId}.`);
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
      query: async () => [],
    };
  }

  async #look(/** @type {number} */ tabId) {
    await this.#turn('scripting.executeScript');
    const facts = this.pages.get(tabId)?.facts;
    this.looked?.();
    if (!facts) throw new Error('Cannot access a chrome:// URL');
    return [{ result: copy(facts) }];
  }
}

/**
 * As `chrome.i18n.getMessage`: `$1` is the first value, and a name that does not exist is ''.
 * @param {string} language
 * @param {string} name
 * @param {string[]} [values]
 */
function words(language, name, values = []) {
  const message = (WORDS[language]?.[name] ?? WORDS['en']?.[name])?.message ?? '';
  return message.replaceAll(
    /\$([1-9])/g,
    (/** @type {string} */ _, /** @type {string} */ n) => values[Number(n) - 1] ?? '',
  );
}
