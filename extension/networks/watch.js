/**
 * On the pages of a network that the reader switched on: notices what they like there, and tells the background. It changes
 * nothing in the page, asks the network nothing, and listens to nobody in the page: only to what the reader's own hands do.
 */
(() => {
  /** @type {{networks: Record<string, import('./index.js').Network>, look: import('./index.js').Look, watching?: boolean}} */
  const world = /** @type {any} */ (globalThis);
  const [network] = Object.values(world.networks); // one is registered for each host
  if (!network || world.watching) return;
  world.watching = true;

  /**
   * @typedef {import('./index.js').Control} Control
   * @typedef {object} Attempt  of a press to change whether something is liked
   * @property {Control} control
   * @property {boolean | null} from  what it was before; null: that cannot be told
   * @property {boolean | null} isOn  what it is now
   * @property {boolean} confirmed
   * @property {number} until
   * @property {number} since  when it became what it was not; 0: it did not
   */

  // The network shows a like at once and takes it back when its server says no: only what lasts counts.
  const LASTS_MS = 1500;
  const GIVE_UP_MS = 20_000;
  const LOOK_EVERY_MS = 200;
  const PRESS_TO_REQUEST_MS = 2000;
  const SETTLED_MS = 4000;
  const PRESSABLE = 'button, a, input, [role="button"], [role="menuitem"]';

  const over = new AbortController();
  const { signal } = over;
  const hear = (/** @type {string} */ type, /** @type {(event: any) => void} */ listener) =>
    window.addEventListener(type, (event) => event.isTrusted && listener(event), { capture: true, signal });

  /** When the network last answered yes to a path that was asked right after a press. @type {Map<string, number>} */
  const answers = new Map();
  const look = { ...world.look, answered: (/** @type {string} */ path) => answers.get(path) ?? 0 };

  /** @type {Map<string, Attempt>} */
  const attempts = new Map();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let watching;
  /** When something was pressed, lately: an answer may come after the next press. @type {number[]} */
  let presses = [];

  // What the reader meant: the thing that their hand moved the pointer onto, or their keys the focus, where it was then.
  /** @type {{thing: Element | null, left: number, top: number}} */
  let aimed = { thing: null, left: 0, top: 0 };
  /** @type {Element | null} */
  let focused = null;
  let pointer = '';
  let steppedAt = Number.NEGATIVE_INFINITY;
  let typedAt = Number.NEGATIVE_INFINITY;

  hear('pointermove', (/** @type {PointerEvent} */ event) => {
    const place = `${event.screenX} ${event.screenY}`;
    if (place === pointer) return; // it is the page that moved
    pointer = place;
    const thing = thingAt(event);
    if (thing !== aimed.thing) aimed = { thing, ...placeOf(thing) };
  });
  hear('keydown', (/** @type {KeyboardEvent} */ { key, timeStamp }) => {
    typedAt = timeStamp;
    steppedAt = /^(Tab|Arrow)/.test(key) ? timeStamp : Number.NEGATIVE_INFINITY;
  });
  hear('pointerdown', ({ timeStamp }) => {
    steppedAt = timeStamp;
  });
  hear('focusin', (event) => {
    focused = event.timeStamp - steppedAt < 300 ? thingAt(event) : null; // a page can move the focus, too
  });
  hear('click', pressed);
  hear('pagehide', () => settle((attempt) => attempt.since > 0));

  const observer = new PerformanceObserver((list) => {
    for (const entry of /** @type {PerformanceResourceTiming[]} */ (list.getEntries())) {
      const { startTime, responseEnd, responseStatus } = entry;
      const url = new URL(entry.name);
      const wasPressed = presses.some((at) => startTime >= at && startTime - at < PRESS_TO_REQUEST_MS);
      const isYes = responseStatus >= 200 && responseStatus < 300;
      if (wasPressed && isYes && url.origin === location.origin) answers.set(url.pathname, responseEnd);
    }
  });
  observer.observe({ type: 'resource' });

  setTimeout(check, SETTLED_MS);

  /** @param {Event} event */
  function thingAt(event) {
    const [at] = event.composedPath();
    return at instanceof Element ? look.up(at, PRESSABLE) : null;
  }

  /** @param {Element | null} thing */
  function placeOf(thing) {
    const { left = 0, top = 0 } = thing ? Element.prototype.getBoundingClientRect.call(thing) : {};
    return { left, top };
  }

  /** @param {PointerEvent} event */
  function pressed(event) {
    if (event.button !== 0) return;
    const thing = thingAt(event);
    if (!thing || !isMeant(thing, event)) return;
    presses = [...presses.slice(-20), event.timeStamp];
    for (const attempt of attempts.values())
      if (attempt.control.confirm && look.up(thing, attempt.control.confirm)) attempt.confirmed = true;
    const control = isSeen(thing) ? network?.control(thing, look) : null;
    if (control) begin(control);
  }

  /**
   * Whether the reader pressed what they aimed at. What a page moves under the pointer, glues to it, or gives the focus to while
   * somebody types, was pressed by their hand and not meant.
   * @param {Element} thing
   * @param {PointerEvent} event
   */
  function isMeant(thing, event) {
    if (event.detail === 0) {
      const isByKey = event.timeStamp - typedAt < 500; // assistive technology presses without keys
      return !isByKey || focused === thing || [...attempts.values()].some(({ control }) => isFor(control, thing));
    }
    if (event.pointerType === 'touch') return true;
    const { left, top } = placeOf(thing);
    return aimed.thing === thing && Math.abs(aimed.left - left) < 8 && Math.abs(aimed.top - top) < 8;
  }

  /** A menu takes the focus when it opens. @param {Control} control @param {Element} thing */
  function isFor({ confirm }, thing) {
    return Boolean(confirm && look.up(thing, confirm));
  }

  /** Big enough to be aimed at, and not see-through. @param {Element} thing */
  function isSeen(thing) {
    const { width, height } = Element.prototype.getBoundingClientRect.call(thing);
    let opacity = 1;
    for (let at = /** @type {Element | null} */ (thing); at; at = look.above(at))
      opacity *= Number(getComputedStyle(at).opacity);
    return look.shown(thing) && width >= 8 && height >= 8 && opacity >= 0.3;
  }

  /** @param {Control} control */
  function begin(control) {
    const key = `${control.act} ${control.work.url}`;
    const running = attempts.get(key);
    const from = running ? running.from : control.isOn();
    const until = performance.now() + GIVE_UP_MS;
    attempts.set(key, { control, from, isOn: from, confirmed: !control.confirm, until, since: 0 });
    watching ??= setInterval(watch, LOOK_EVERY_MS);
  }

  function watch() {
    const now = performance.now();
    for (const [key, attempt] of attempts) {
      attempt.isOn = attempt.confirmed ? attempt.control.isOn() : attempt.from;
      if (attempt.isOn === null || attempt.isOn === attempt.from) attempt.since = 0;
      else attempt.since ||= now;
      if (!attempt.since && now > attempt.until) attempts.delete(key);
    }
    settle(({ since }) => since > 0 && now - since >= LASTS_MS);
    if (attempts.size) return;
    clearInterval(watching);
    watching = undefined;
  }

  /** @param {(attempt: Attempt) => boolean} isDone */
  function settle(isDone) {
    for (const [key, attempt] of attempts) {
      if (!isDone(attempt)) continue;
      attempts.delete(key);
      const { act, work, page } = attempt.control;
      if (attempt.isOn) void ask('liked', { act, work, page });
      else void ask('unliked', { act, work, page });
    }
  }

  /** A page on which there must be a like button, and none is known: the network may have changed. */
  function check() {
    if (document.hidden) return setTimeout(check, SETTLED_MS);
    if (signal.aborted || !network?.expected(look)) return;
    const any = look.all(network.controls).some((/** @type {Element} */ at) => network.control(at, look));
    void ask('recognised', { any });
  }

  /**
   * The background may be stopped at any moment: it is asked again until it has stored the like.
   * @param {string} type
   * @param {object} body
   */
  async function ask(type, body) {
    for (const wait of [0, 300, 2000]) {
      if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
      if (!chrome.runtime?.id) return stop(); // the extension is gone, or there anew with a script of its own
      const reply = await chrome.runtime.sendMessage({ type, body }).catch(() => null);
      if (reply?.value === false) return stop(); // switched off
      if (reply && 'value' in reply) return;
    }
  }

  function stop() {
    over.abort();
    observer.disconnect();
    clearInterval(watching);
    attempts.clear();
    world.watching = false;
  }
})();
