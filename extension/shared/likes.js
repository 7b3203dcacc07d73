/** What was liked elsewhere and waits for the reader's word: count all, choose, clear. */
import { make, redraw } from './dom.js';
import { ask } from './messages.js';
import { plural, t } from './text.js';

/**
 * @typedef {import('./messages.js').Like} Like
 *
 * @typedef {object} Done  what was done last, which can be undone while it is said
 * @property {'counted' | 'cleared'} how
 * @property {Like[]} likes
 */

/** @type {(place: HTMLElement, done: Done | null) => void} */
const remember = (place, done) => {
  place.dataset['done'] = JSON.stringify(done);
};

/** @param {Like} like */
export function sourcesOf({ sources, network }) {
  return [...new Set(sources.map(({ act }) => t(`like_${act}`, network)))].join(', ');
}

/**
 * @param {HTMLElement} place
 * @param {Like[]} likes
 */
export function showLikes(place, likes) {
  /** @type {Done | null} */
  const done = JSON.parse(place.dataset['done'] ?? 'null');
  const isChoosing = place.dataset['choosing'] === 'true' && likes.length > 0;
  place.hidden = !likes.length && !done;
  place.ariaLabel = t('settings_likes');
  redraw(place, [likes, done, isChoosing], () => [
    make('p', { role: 'status' }, said(likes, done), ...(done ? [' ', undo(place, likes, done)] : [])),
    ...(isChoosing ? [make('ul', {}, ...likes.map(row))] : []),
    ...(likes.length ? [make('p', { className: 'acts' }, ...acts(place, likes, isChoosing))] : []),
  ]);
}

/**
 * @param {Like[]} likes
 * @param {Done | null} done
 */
function said(likes, done) {
  const words = done ? [plural(`likes_${done.how}`, done.likes.length)] : [];
  return [...words, ...(likes.length ? [plural('likes_waiting', likes.length)] : [])].join(' ');
}

/** @param {Like} like */
function row(like) {
  const { page, sources } = like;
  const box = make('input', { type: 'checkbox', value: page.url });
  const title = make('bdi', {}, sources.at(-1)?.work.title || page.title);
  return make('li', {}, make('label', {}, box, title, make('span', { className: 'source' }, sourcesOf(like))));
}

/**
 * @param {HTMLElement} place
 * @param {Like[]} likes
 * @param {boolean} isChoosing
 */
function acts(place, likes, isChoosing) {
  const meant = () => {
    const boxes = /** @type {HTMLInputElement[]} */ ([...place.querySelectorAll('input[type=checkbox]')]);
    const chosen = new Set(boxes.filter(({ checked }) => checked).map(({ value }) => value));
    return isChoosing ? likes.filter(({ page }) => chosen.has(page.url)) : likes;
  };
  /** @type {(how: Done['how'], tell: (urls: string[]) => Promise<void>) => Promise<void>} */
  const act = async (how, tell) => {
    const chosen = meant();
    if (!chosen.length) return;
    remember(place, { how, likes: chosen });
    await tell(chosen.map(({ page }) => page.url));
  };
  const count = button('count', t(isChoosing ? 'likes_count_chosen' : 'likes_count'), () =>
    act('counted', (urls) => ask('countLikes', { urls })),
  );
  const choose = button('choose', t(isChoosing ? 'likes_choose_not' : 'likes_choose'), async () => {
    place.dataset['choosing'] = String(!isChoosing);
    showLikes(place, likes);
  });
  const clear = button('clear', t(isChoosing ? 'likes_clear_chosen' : 'likes_clear'), () =>
    act('cleared', (urls) => ask('clearLikes', { urls })),
  );
  return [count, choose, clear];
}

/**
 * @param {HTMLElement} place
 * @param {Like[]} likes
 * @param {Done} done
 */
function undo(place, likes, done) {
  return button('undo', t('undo'), async () => {
    remember(place, null);
    if (done.how === 'counted') await ask('uncountLikes', { urls: done.likes.map(({ page }) => page.url) });
    else await ask('restoreLikes', { likes: done.likes });
    showLikes(place, likes);
  });
}

/**
 * @param {string} name
 * @param {string} words
 * @param {() => Promise<unknown>} act
 */
function button(name, words, act) {
  const node = make('button', { type: 'button', className: `link ${name}` }, words);
  node.onclick = () => act();
  return node;
}
