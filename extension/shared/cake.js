/** The cake seen from above: equal wedges, one per person; a dashed plate beside it for a promise. */

/**
 * @typedef {import('./messages.js').Wedge} Wedge
 * @typedef {{people: number, wedges: Wedge[], promise: boolean}} Cake
 */

const SVG = 'http://www.w3.org/2000/svg';
const MOST_WEDGES = 16;
const CENTRE = 44;
const CAKE = 34;
const INITIALS_AT = 22;

/**
 * @param {Cake} cake
 * @param {string} label  the same in words
 * @returns {SVGElement}
 */
export function drawCake({ people, wedges, promise }, label) {
  const svg = element('svg', { viewBox: '0 0 88 88', class: 'cake', role: 'img', 'aria-label': label });
  svg.append(circle(CENTRE, CENTRE, CAKE + 6, 'plate'), circle(CENTRE, CENTRE, CAKE, 'sponge'));
  if (people > MOST_WEDGES)
    svg.append(circle(CENTRE, CENTRE, CAKE - 8, 'rim'), words(CENTRE, CENTRE, `${people}`, 'count'));
  else for (let i = 0; i < people; i += 1) svg.append(wedge(i, people, wedges[i]));
  if (promise) svg.append(circle(74, 74, 13, 'ground'), circle(74, 74, 10, 'promise'));
  return svg;
}

/**
 * @param {number} i
 * @param {number} people
 * @param {Wedge | undefined} known
 */
function wedge(i, people, known) {
  const middle = ((i + 0.5) / people) * 2 * Math.PI - Math.PI / 2;
  const group = element('g', { class: known?.mine ? 'wedge mine' : 'wedge' });
  const away = people > 1 ? 4 : 0;
  group.style.setProperty(
    '--lift',
    `${(Math.cos(middle) * away).toFixed(2)}px, ${(Math.sin(middle) * away).toFixed(2)}px`,
  );
  group.append(people === 1 ? circle(CENTRE, CENTRE, CAKE, 'piece') : slice(i, people));
  const reach = people === 1 ? 0 : INITIALS_AT;
  const [x, y] = [CENTRE + Math.cos(middle) * reach, CENTRE + Math.sin(middle) * reach];
  if (known && people <= 10) group.append(words(x, y, initial(known.name), 'initial'));
  return group;
}

/**
 * @param {number} i
 * @param {number} people
 */
function slice(i, people) {
  const point = (/** @type {number} */ at) => {
    const angle = (at / people) * 2 * Math.PI - Math.PI / 2;
    return `${(CENTRE + Math.cos(angle) * CAKE).toFixed(2)} ${(CENTRE + Math.sin(angle) * CAKE).toFixed(2)}`;
  };
  return element('path', {
    class: 'piece',
    d: `M${CENTRE} ${CENTRE}L${point(i)}A${CAKE} ${CAKE} 0 0 1 ${point(i + 1)}Z`,
  });
}

/** @param {string} name */
function initial(name) {
  return [...name][0]?.toLocaleUpperCase() ?? '';
}

/** @param {number} cx @param {number} cy @param {number} r @param {string} name */
function circle(cx, cy, r, name) {
  return element('circle', { cx, cy, r, class: name });
}

/** @param {number} x @param {number} y @param {string} text @param {string} name */
function words(x, y, text, name) {
  const node = element('text', { x, y, class: name, 'text-anchor': 'middle', 'dominant-baseline': 'central' });
  node.textContent = text;
  return node;
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 */
function element(name, attributes) {
  const node = /** @type {SVGElement} */ (document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}
