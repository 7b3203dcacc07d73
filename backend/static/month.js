// Keeps an open month as it stands: what is pressed or undone elsewhere is seen without loading the page anew.
// Without script the page is the same; it then shows this when it is loaded next.

const SOONEST = 2_000; // milliseconds until it looks again; longer and longer while nothing happens
const LATEST = 30_000;
let wait = SOONEST;
let planned = 0;
let looking = false;

const part = (/** @type {string} */ id, /** @type {ParentNode} */ of = document) =>
  /** @type {HTMLElement} */ (of.querySelector(`#${id}`));

function plan() {
  clearTimeout(planned);
  if (!document.hidden) planned = window.setTimeout(look, wait);
}

/** Ask whether the list is still the one that is shown; that it is costs the server no page. */
async function look() {
  if (looking) return;
  looking = true;
  const headers = { 'If-None-Match': `"${part('lead').dataset['version']}"` };
  const answer = await fetch(location.href, { headers, redirect: 'manual' }).catch(() => null);
  const text = answer?.ok ? await answer.text().catch(() => '') : '';
  looking = false;
  wait = text ? SOONEST : Math.min(wait * 1.5, LATEST);
  if (answer?.type === 'opaqueredirect') return; // signed out
  if (text && !show(new DOMParser().parseFromString(text, 'text/html'))) return;
  plan();
}

/** Show what became of the month, and say so to who does not see it. False once it can't change any more. */
function show(/** @type {Document} */ fresh) {
  if (!part('lead', fresh)) return false;
  const known = new Set([...document.querySelectorAll('#list tbody tr')].map((row) => row.id));
  const added = [...fresh.querySelectorAll('#list tbody tr')].filter((row) => !known.has(row.id));
  const said = added.length === 1 ? `Added: ${added[0]?.querySelector('a')?.textContent}` : 'Your month has changed.';
  const row = document.activeElement?.closest('#list tbody tr');
  const at = row ? [...(row.parentElement?.children ?? [])].indexOf(row) : -1;
  for (const id of ['lead', 'list', 'empty']) update(part(id), part(id, fresh));
  if (row && !row.isConnected) {
    const rows = document.querySelectorAll('#list tbody tr');
    const near = rows[Math.min(at, rows.length - 1)]?.querySelector('button') ?? part('list');
    near.focus();
  }
  part('told').textContent = said;
  return fresh.querySelector('script') !== null;
}

/** Make one element like another, touching no more than differs: focus, choices and scrolling stay as they are. */
function update(/** @type {Element} */ shown, /** @type {Element} */ fresh) {
  if (shown.isEqualNode(fresh)) return;
  if (shown.nodeName !== fresh.nodeName || hasText(shown) || hasText(fresh)) {
    shown.replaceWith(fresh);
    return;
  }
  for (const { name, value } of fresh.attributes) shown.setAttribute(name, value);
  const wanted = [...fresh.children];
  const stay = new Set(wanted.map((child) => child.id));
  for (const child of [...shown.children]) if (child.id && !stay.has(child.id)) child.remove();
  wanted.forEach((child, at) => {
    const there = shown.children[at] ?? null;
    if (there?.id === child.id) update(there, child);
    else {
      if (child.id) [...shown.children].find((old) => old.id === child.id)?.remove();
      shown.insertBefore(child, there?.isConnected ? there : null);
    }
  });
  while (shown.children.length > wanted.length) shown.lastElementChild?.remove();
}

function hasText(/** @type {Element} */ element) {
  return [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
}

/** Somebody comes back, to the tab or to the window: what happened meanwhile is shown at once. */
function comeBack() {
  wait = SOONEST;
  if (document.hidden) clearTimeout(planned);
  else look();
}

document.addEventListener('visibilitychange', comeBack);
window.addEventListener('focus', comeBack);
plan();
