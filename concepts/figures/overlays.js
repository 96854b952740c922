// @ts-check
'use strict';

/**
 * A rectangle of patches in the grid of a layer; both corners belong to it.
 * @typedef {{picture: number, layer: number, r0: number, c0: number, r1: number, c1: number}} Spot
 *
 * Activations of one layer: `codes` row by row, `inverse` 1 / ||codes||, `lengths` ||activations||,
 * `starts` the first patch of each picture.
 * @typedef {{axes: number, sizes: [number, number][], starts: number[], codes: Int8Array,
 *            inverse: Float32Array, lengths: Float32Array}} Pack
 *
 * @typedef {{count: number, maps: Uint8Array}} Groups
 * @typedef {{name: string, pack: Pack, classes: Map<string, Pack>, groups: Groups | null}} Layer
 * @typedef {{name: string, width: number, height: number, picture: string}} Picture
 * @typedef {{kind: string, source: string, amounts: number[], pictures: number[],
 *            places: (Int16Array | null)[], neutral: number}} Transform: `neutral` is the step that changes
 * nothing, or -1.
 *
 * What a spot is compared with: 12 bits a number, so that all arithmetic is of integers.
 * @typedef {{codes: Int16Array, inverse: number, length: number}} Query
 *
 * A picture on the page, as a layer sees it.
 * @typedef {{picture: number, layer: number, rows: number, columns: number, values: Float32Array,
 *            known: boolean, box: HTMLElement, canvas: HTMLCanvasElement, pixels: ImageData,
 *            words: Uint32Array, blank: Uint8Array | null, hatch: HTMLCanvasElement | null, number: HTMLElement, layerOfMarks: HTMLElement,
 *            marks: Map<string, HTMLElement>, best: number, seen: boolean}} Stage
 */

const MODES = {one: 'One picture', all: 'All pictures', layers: 'Layers', transforms: 'Transforms', groups: 'Groups'};
const NOTES = {
  one: 'Every patch of the picture, compared with the yellow one.',
  all: 'Every patch of every picture, compared with the yellow one.',
  layers: 'The same place in every layer: within each, every patch is compared with the yellow one.',
  transforms: 'Every patch of every copy, compared with the yellow one. White: where that patch is.',
  groups: 'Groups of patches that the layer activates alike, found over all pictures. Under the mouse: where a patch is alike.',
};
const MAPS = {amber: 'amber, negative blue', grey: 'grey, as the article', light: 'light on what is alike'};
const GROUP_COLOURS = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377', '#ee8866', '#bbbbbb'];  // Tol's bright scheme.
/** @type {Record<string, string>} */
const MARKS = {here: '#ffe11a', same: '#fff', near: '#fff', a: '#86e59a', b: '#e0aef0'};  // As in the style sheet.
const DEFAULTS = {
  mode: 'all', layer: '', measure: 'cosine', picture: '0', transform: '0', a: '', b: '', view: 'a', hide: '-1',
  map: 'amber', strength: '80', size: '', smooth: '0', marks: '1', pictures: '',
};

/** @type {(id: string) => any} */
const $ = id => document.getElementById(id);
const said = JSON.parse($('data').textContent);
/** @type {Picture[]} */
const pictures = said.pictures;
/** @type {number} */
const shown = said.shown;
/** @type {Layer[]} */
let layers = [];
/** @type {Transform[]} */
let transforms = [];
/** @type {Map<number, number>} An untransformed copy -> the picture that it is a copy of. */
const origins = new Map();
/** @type {Record<string, Uint32Array>} */
const colours = {};
const state = {...DEFAULTS};
/** @type {Spot | null} The patch under the mouse, or that of the keyboard. */
let here = null;
/** @type {Stage[]} */
let stages = [];
/** @type {HTMLImageElement[]} */
const photographs = [];
/** @type {Set<number>} Groups that are not painted. */
const hiddenGroups = new Set();
let scale = 1;  // The number at the right end of the colour bar.

// Small helpers.

/**
 * @param {Element} parent @param {string} tag @param {Record<string, string>} attributes
 * @returns {any}
 */
function add(parent, tag, attributes = {}, text = '') {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== '') node.textContent = text;
  parent.append(node);
  return node;
}
/** @param {number} value */
const fixed = value => !Number.isFinite(value) ? '–' : (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)).replace('-', '−');
/** @param {number} index */
const nameOf = index => {
  for (const one of transforms) {
    const at = one.pictures.indexOf(index);
    if (index >= shown && at >= 0) return `${one.source}, ${amountOf(one, at)}`;
  }
  return pictures[index].name;
};
/** @param {Transform} one @param {number} at */
const amountOf = (one, at) => one.amounts[at] + (one.kind === 'rotation' ? '°' : '×');
/** A long name without its middle. @param {string} name @param {(text: string) => boolean} fits */
function shortened(name, fits = text => [...text].length <= 36) {
  if (fits(name)) return name;
  const letters = [...name];
  const text = (/** @type {number} */ kept) => `${letters.slice(0, Math.ceil(kept / 2)).join('')}…${letters.slice(letters.length - Math.floor(kept / 2)).join('')}`;
  let [few, many] = [0, letters.length];
  while (many - few > 1) {  // The most letters that fit.
    const middle = (few + many) >> 1;
    if (fits(text(middle))) few = middle; else many = middle;
  }
  return text(few);
}
/** @param {Spot} spot */
const isRegion = spot => spot.r0 !== spot.r1 || spot.c0 !== spot.c1;
/** @param {Spot | null} p @param {Spot | null} q */
const same = (p, q) => JSON.stringify(p) === JSON.stringify(q);

// Numbers.

/** @param {string} text base64 of deflated bytes */
async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}
/** @param {any} packed @returns {Promise<Pack>} */
async function unpacked(packed) {
  const [codes, lengths] = await Promise.all([packed.codes, packed.lengths].map(inflated));
  let total = 0;
  const starts = packed.sizes.map((/** @type {[number, number]} */ [rows, columns]) => (total += rows * columns) - rows * columns);
  const pack = {axes: packed.axes, sizes: packed.sizes, starts, codes: new Int8Array(codes),
                lengths: new Float32Array(lengths), inverse: new Float32Array(total)};
  for (let i = 0; i < total; i++) {
    let square = 0;
    for (let k = i * pack.axes; k < (i + 1) * pack.axes; k++) square += pack.codes[k] ** 2;
    pack.inverse[i] = square ? 1 / Math.sqrt(square) : 0;
  }
  return pack;
}
async function readData() {
  for (const [name, text] of Object.entries(said.colours)) colours[name] = new Uint32Array(await inflated(text));
  layers = await Promise.all(said.layers.map(async (/** @type {any} */ one) => ({
    name: one.name,
    pack: await unpacked(one.packed),
    classes: new Map(await Promise.all(one.classes.map(async (/** @type {[string, any]} */ [name, packed]) => [name, await unpacked(packed)]))),
    groups: one.groups && {count: one.groups.count, maps: new Uint8Array(await inflated(one.groups.maps))},
  })));
  transforms = await Promise.all(said.transforms.map(async (/** @type {any} */ one) => ({
    ...one, neutral: one.amounts.findIndex((/** @type {number} */ amount) => one.kind === 'rotation' ? amount % 360 === 0 : amount === 1),
    places: await Promise.all(one.places.map(async (/** @type {string | null} */ text) => text === null ? null : new Int16Array(await inflated(text)))),
  })));
  for (const one of transforms) {
    const of = pictures.findIndex((picture, i) => i < shown && picture.name === one.source);
    if (of >= 0 && one.neutral >= 0) origins.set(one.pictures[one.neutral], of);
  }
}
/** The picture that an untransformed copy is of, or the picture itself. @param {number} index */
const originOf = index => origins.get(index) ?? index;
/** A spot where the mode has it: on the untransformed copy, or on the picture of which that is a copy. @param {Spot | null} spot @returns {Spot | null} null among transforms, where it is on another picture */
function onPage(spot) {
  if (!spot) return null;
  let picture = originOf(spot.picture);
  if (state.mode === 'transforms') {
    const one = transforms[+state.transform];
    if (one.pictures.includes(spot.picture)) return spot;
    if (one.neutral < 0 || originOf(one.pictures[one.neutral]) !== picture) return null;
    picture = one.pictures[one.neutral];
  }
  return picture === spot.picture ? spot : {...spot, picture};
}
/** The patches of a turned copy that show nothing of the picture. @param {number} picture @param {number} layer @returns {Uint8Array | null} 1 for such a patch; null if there is none */
function blankOf(picture, layer) {
  const one = state.mode === 'transforms' ? transforms[+state.transform] : null, places = one?.places[layer], from = one ? one.pictures.indexOf(picture) : -1;
  if (!one || !places || one.neutral < 0 || from < 0) return null;
  const steps = one.amounts.length, each = places.length / steps ** 2, first = (from * steps + one.neutral) * each;
  const blank = Uint8Array.from(places.subarray(first, first + each), cell => cell < 0 ? 1 : 0);
  return one.kind === 'rotation' && blank.includes(1) ? blank : null;
}
/** @param {number} layer @returns {Pack | undefined} Of the measure; undefined if the layer lacks the class. */
function packOf(layer) {
  const name = className();
  return name === null ? layers[layer].pack : layers[layer].classes.get(name);
}
const className = () => state.measure.startsWith('class:') ? state.measure.slice(6) : null;

/** The spot in the grid of another layer: cell floor(N_t / N_s * p); of a region all cells that it covers. @param {Spot} spot @param {number} layer @returns {Spot} */
function inLayer(spot, layer) {
  if (spot.layer === layer) return spot;
  const [rows, columns] = layers[spot.layer].pack.sizes[spot.picture];
  const [rowsThere, columnsThere] = layers[layer].pack.sizes[spot.picture];
  const first = (/** @type {number} */ p, /** @type {number} */ there, /** @type {number} */ count) => Math.floor(p * there / count);
  const last = (/** @type {number} */ p, /** @type {number} */ there, /** @type {number} */ count) => isRegion(spot) ? Math.ceil((p + 1) * there / count) - 1 : first(p, there, count);
  return {picture: spot.picture, layer, r0: first(spot.r0, rowsThere, rows), c0: first(spot.c0, columnsThere, columns),
          r1: last(spot.r1, rowsThere, rows), c1: last(spot.c1, columnsThere, columns)};
}
/** @param {Spot} spot @param {Pack} pack @returns {number[]} its cells, of all pictures */
function cellsOf(spot, pack) {
  const columns = pack.sizes[spot.picture][1], cells = [];
  for (let r = spot.r0; r <= spot.r1; r++)
    for (let c = spot.c0; c <= spot.c1; c++) cells.push(pack.starts[spot.picture] + r * columns + c);
  return cells;
}
/** The mean activation of cells, in the packed axes. @param {number[]} cells @param {Pack} pack @returns {Query} */
function meanOf(cells, pack) {
  const {axes, codes} = pack, mean = new Float64Array(axes);
  for (const cell of cells) {
    const weight = pack.lengths[cell] * pack.inverse[cell] / cells.length;
    for (let k = 0, at = cell * axes; k < axes; k++, at++) mean[k] += weight * codes[at];
  }
  const largest = mean.reduce((most, value) => Math.max(most, Math.abs(value)), 0), length = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0));
  const whole = Int16Array.from(mean, value => largest ? Math.round(4095 * value / largest) : 0);
  return {codes: whole, length, inverse: largest ? 1 / Math.sqrt(whole.reduce((sum, value) => sum + value * value, 0)) : 0};
}
/** @param {Spot} spot @param {number} layer @returns {Query | null} null where the measure says nothing of its picture */
function queryOf(spot, layer) {
  const pack = packOf(layer);
  if (!pack || spot.picture >= pack.sizes.length) return null;
  return meanOf(cellsOf(inLayer(spot, layer), pack), pack);
}
/** Similarities of one query to patches in a row. @param {Query} query @param {Pack} pack @param {number} start @param {Float32Array} into */
function compare(query, pack, start, into) {
  const {axes, codes, inverse, lengths} = pack, other = query.codes, dot = state.measure === 'dot';
  const even = axes - axes % 4;
  for (let i = 0, at = start * axes; i < into.length; i++) {
    let p = 0, q = 0, r = 0, s = 0, k = 0;
    for (; k < even; k += 4, at += 4) {
      p = (p + codes[at] * other[k]) | 0;
      q = (q + codes[at + 1] * other[k + 1]) | 0;
      r = (r + codes[at + 2] * other[k + 2]) | 0;
      s = (s + codes[at + 3] * other[k + 3]) | 0;
    }
    for (; k < axes; k++, at++) p = (p + codes[at] * other[k]) | 0;
    const cosine = (p + q + r + s) * query.inverse * inverse[start + i];
    into[i] = dot ? cosine * query.length * lengths[start + i] : cosine;
  }
}
/** @param {Query} query @param {Query} other */
function similarity(query, other) {
  let sum = 0;
  for (let k = 0; k < query.codes.length; k++) sum += query.codes[k] * other.codes[k];
  const cosine = sum * query.inverse * other.inverse;
  return state.measure === 'dot' ? cosine * query.length * other.length : cosine;
}
/** Similarity of a spot to where it went in each copy; NaN where it left the picture. @param {Spot} spot @returns {number[]} */
function chartOf(spot) {
  const one = transforms[+state.transform], layer = layerIndex(), from = one.pictures.indexOf(spot.picture), pack = layers[layer].pack;
  const query = queryOf(spot, layer);
  return one.pictures.map((_, to) => {
    const cells = correspondents(spot, to);
    return from < 0 || !query || !cells.length ? NaN : similarity(query, meanOf(cells, pack));
  });
}
/** The cells that a spot went to in a copy. @param {Spot} spot @param {number} to @returns {number[]} */
function correspondents(spot, to) {
  const one = transforms[+state.transform], layer = layerIndex(), pack = layers[layer].pack;
  const from = one.pictures.indexOf(spot.picture), places = one.places[layer];
  if (from < 0 || !places) return [];
  const each = places.length / one.amounts.length ** 2, first = pack.starts[spot.picture];
  const there = cellsOf(inLayer(spot, layer), pack).map(cell => places[(from * one.amounts.length + to) * each + cell - first]);
  return [...new Set(there)].filter(cell => cell >= 0).map(cell => pack.starts[one.pictures[to]] + cell);
}

// The state, which is in the address.

const layerIndex = () => Math.max(0, layers.findIndex(one => one.name === state.layer));
/** @param {string} text @returns {Spot | null} */
function spotOf(text) {
  const all = text.split(',').map(Number);
  if (all.length !== 6 || !all.every(Number.isInteger)) return null;
  const [picture, layer, r0, c0, r1, c1] = all, size = layers[layer]?.pack.sizes[picture];
  if (!size || r0 < 0 || c0 < 0 || r1 < r0 || c1 < c0 || r1 >= size[0] || c1 >= size[1]) return null;
  return {picture, layer, r0, c0, r1, c1};
}
/** @param {Spot | null} spot */
const textOf = spot => spot ? [spot.picture, spot.layer, spot.r0, spot.c0, spot.r1, spot.c1].join() : '';
/** @param {string} text '0-3,7' @returns {number[]} */
function rangesOf(text) {
  if (text === '') return Array.from({length: shown}, (_, i) => i);
  const found = new Set();
  for (const part of text.split(',')) {
    const [first, last = first] = part.split('-').map(Number);
    for (let i = first; i <= Math.min(last, shown - 1); i++) if (Number.isInteger(i) && i >= 0) found.add(i);
  }
  return [...found].sort((p, q) => p - q);
}
/** @param {number[]} indices */
function rangeText(indices) {
  if (indices.length === shown) return '';
  const parts = [];
  for (let i = 0; i < indices.length; i++) {
    const first = indices[i];
    while (indices[i + 1] === indices[i] + 1) i++;
    parts.push(first === indices[i] ? `${first}` : `${first}-${indices[i]}`);
  }
  return parts.join(',') || 'none';
}
function usualSize() {
  const count = state.mode === 'layers' ? layers.length : chosen().length;
  return count <= 3 ? 288 : count <= 8 ? 228 : count <= 20 ? 176 : 128;
}
/** Parts of the address; wrong ones are left out. */
function readAddress() {
  const given = new Map(new URLSearchParams(location.hash.slice(1)));
  for (const name of /** @type {(keyof typeof DEFAULTS)[]} */ (Object.keys(DEFAULTS))) state[name] = given.get(name) ?? DEFAULTS[name];
  if (!Object.hasOwn(MODES, state.mode) || !available(state.mode)) state.mode = available('all') ? 'all' : 'one';
  if (!layers.some(one => one.name === state.layer)) state.layer = layers[Math.floor((layers.length - 1) / 2)].name;
  if (state.mode === 'groups' && !layers[layerIndex()].groups) state.layer = /** @type {Layer} */ (layers.find(one => one.groups)).name;
  if (!Object.hasOwn(MAPS, state.map)) state.map = DEFAULTS.map;
  if (!transforms[+state.transform]) state.transform = '0';
  if (state.picture !== 'all' && !(Number.isInteger(+state.picture) && +state.picture >= 0 && +state.picture < shown)) state.picture = '0';
  for (const name of /** @type {('hide' | 'strength' | 'size')[]} */ (['hide', 'strength', 'size'])) if (!Number.isFinite(+state[name])) state[name] = DEFAULTS[name];
  state.a = textOf(spotOf(state.a));
  state.b = state.a && textOf(spotOf(state.b));
  if (!['a', 'b', 'difference'].includes(state.view) || !state.b) state.view = 'a';
  if (!measures().includes(state.measure)) state.measure = 'cosine';
}
/** @param {boolean} step whether Back undoes it */
function writeAddress(step) {
  const usual = {...DEFAULTS, layer: layers[Math.floor((layers.length - 1) / 2)].name};
  const parts = Object.entries(state).filter(([name, value]) => value !== /** @type {any} */ (usual)[name]);
  const hash = '#' + parts.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll('%2C', ',').replaceAll('%3A', ':')}`).join('&');
  if (hash === (location.hash || '#')) return;
  try { history[step ? 'pushState' : 'replaceState'](null, '', hash); } catch { /* A frame without an address, as in a notebook. */ }
}
/** @param {Partial<typeof DEFAULTS>} changes */
function change(changes, step = true) {
  Object.assign(state, changes);
  if ('mode' in changes && changes.mode === 'groups') here = null;
  if ('mode' in changes) follow();
  if ('mode' in changes || 'layer' in changes || 'transform' in changes) settle();
  writeAddress(step);
  render();
}
/** A mode of one picture begins with the picture of the pin. */
function follow() {
  const spot = spotOf(state.a) ?? (state.mode === 'transforms' ? here : null), picture = spot ? originOf(spot.picture) : -1;
  if (['one', 'layers'].includes(state.mode) && picture >= 0 && picture < shown && state.picture !== 'all') state.picture = `${picture}`;
  if (state.mode !== 'transforms' || !spot || onPage(spot)) return;
  const at = transforms.findIndex(one => one.pictures.includes(spot.picture) || originOf(one.pictures[one.neutral]) === picture);
  if (at >= 0) state.transform = `${at}`;
}
/** What a mode cannot have goes. */
function settle() {
  here = onPage(here);
  if (state.mode === 'transforms' && !pinned()[0] && !here) here = middleOf(beginning());
  if (state.mode === 'groups' && !layers[layerIndex()].groups) state.layer = /** @type {Layer} */ (layers.find(one => one.groups)).name;
  if (!measures().includes(state.measure)) state.measure = 'cosine';
  if (state.mode === 'one' && state.picture === 'all') state.picture = '0';
}
/** @param {string} mode */
function available(mode) {
  if (mode === 'all') return shown > 1;
  if (mode === 'layers') return layers.length > 1;
  if (mode === 'transforms') return transforms.length > 0;
  return mode !== 'groups' || layers.some(one => one.groups);
}
function measures() {
  const of = state.mode === 'layers' ? layers : [layers[layerIndex()]];
  const names = state.mode === 'transforms' ? [] : [...of[0].classes.keys()].filter(name => of.every(one => one.classes.has(name)));
  return ['cosine', 'dot', ...names.map(name => `class:${name}`)];
}
/** @param {string} measure */
const measureText = measure => ({cosine: 'cosine', dot: 'dot product'})[measure] ?? `cosine, weighted for ${measure.slice(6)}`;
const chosen = () => rangesOf(state.pictures);
/** The pins, where the mode has them: those of other pictures are not among transforms. */
function pinned() {
  const [a, b] = [onPage(spotOf(state.a)), onPage(spotOf(state.b))];
  return a ? [a, b] : [b, null];
}
/** What the overlay is of: a spot, or two whose difference it is. @returns {Spot[]} */
function sources() {
  const [a, b] = pinned();
  if (a && b && state.view === 'difference') return [a, b];
  const one = (state.view === 'b' ? b : a) ?? a ?? here;
  return one ? [one] : [];
}

// What is on the page.

/** @returns {[number, number][]} picture, layer */
function wanted() {
  const layer = layerIndex();
  if (state.mode === 'one') return [[+state.picture || 0, layer]];
  if (state.mode === 'transforms') return transforms[+state.transform].pictures.map(index => [index, layer]);
  if (state.mode !== 'layers') return chosen().map(index => [index, layer]);
  const those = state.picture === 'all' ? chosen() : [+state.picture];
  return those.flatMap(index => layers.map((_, at) => /** @type {[number, number]} */ ([index, at])));
}
/** @param {number} picture @param {number} layer @returns {Stage} */
function addStage(picture, layer) {
  const [rows, columns] = layers[layer].pack.sizes[picture], {width, height} = pictures[picture];
  const name = state.mode === 'layers' ? layers[layer].name + (state.picture === 'all' ? ` · ${nameOf(picture)}` : '')
      : state.mode === 'transforms' ? amountOf(transforms[+state.transform], transforms[+state.transform].pictures.indexOf(picture)) : nameOf(picture);
  const tile = add($('grid'), 'figure', {class: 'tile'});
  const box = add(add(tile, 'div', {class: 'pane'}), 'div', {class: 'stage', tabindex: '0', role: 'application', 'aria-label': `${nameOf(picture)}, layer ${layers[layer].name}, ${rows} × ${columns} patches`, 'aria-describedby': 'keys'});
  box.style.aspectRatio = `${width} / ${height}`;
  const photo = add(box, 'span', {class: 'photo'});
  add(photo, 'img', {src: pictures[picture].picture, alt: '', draggable: 'false', class: Math.max(width, height) <= 64 ? 'coarse' : ''});
  const blank = blankOf(picture, layer), hatch = blank && hatched(add(box, 'canvas', {'aria-hidden': 'true'}), blank, rows, columns);
  const canvas = add(box, 'canvas', {class: 'overlay', width: `${columns}`, height: `${rows}`, 'aria-hidden': 'true'});
  const caption = add(tile, 'figcaption');
  add(caption, 'span', {class: 'name', title: name}, name);
  const pixels = new ImageData(columns, rows);
  /** @type {Stage} */
  const stage = {picture, layer, rows, columns, values: new Float32Array(rows * columns), known: false, box, canvas, pixels,
                 words: new Uint32Array(pixels.data.buffer), blank, hatch, number: add(caption, 'span', {class: 'number'}), layerOfMarks: add(box, 'span', {class: 'marks'}), marks: new Map(), best: -1, seen: false};
  watcher.observe(box);
  listen(stage);
  return stage;
}
/** @param {Stage} stage @returns {HTMLElement} */
const paneOf = stage => /** @type {HTMLElement} */ (stage.box.parentElement);
const LEAST = 8;  // Pixels of a patch in a wide picture, or a single one: more are scrolled to.
/** Widths of pictures in rows, each as wide as the page and equally high all along; and the share of the last row that is filled. @param {number[]} aspects @param {number} width @param {number} gap @param {number} size about as high */
function justified(aspects, width, gap, size) {
  const widths = /** @type {number[]} */ ([]);
  let before = size, filling = 0;
  for (let first = 0; first < aspects.length; first = widths.length) {
    let end = first, total = 0, high = Infinity;
    const filled = () => (width - gap * (end - first - 1)) / total;
    while (end < aspects.length && high > size) { total += aspects[end++]; high = filled(); }
    const more = high;
    if (high > 1.35 * size) high = Math.min(high, before);  // The last row, which has too little to be filled.
    else if (high < size && end - first > 1) {
      total -= aspects[--end];
      high = filled();
      if (high * more > size * size) { total += aspects[end++]; high = more; }  // With one fewer it is further off.
    }
    before = high;
    filling = high / filled();
    for (const aspect of aspects.slice(first, end)) widths.push(Math.floor(100 * high * aspect) / 100 - .02);
  }
  return {widths, filling};
}
/** Of nearly such a size, so that the last row is filled, if it can be. @param {number[]} aspects @param {number} width @param {number} gap @param {number} size */
function gallery(aspects, width, gap, size) {
  const found = [1, 1.08, 1.17, 1.27, .93, .87].map(share => justified(aspects, width, gap, size * share));
  const fullest = Math.max(...found.map(one => one.filling));
  return /** @type {{widths: number[]}} */ (found.find(one => one.filling > fullest - .05)).widths;
}
function layOut() {
  const grid = $('grid'), width = grid.clientWidth, gap = parseFloat(getComputedStyle(grid).columnGap), inRows = grid.classList.contains('rows');
  const aspects = stages.map(({picture}) => pictures[picture].width / pictures[picture].height);
  const widths = state.mode === 'one' ? aspects.map(aspect => Math.min(width, aspect * Math.max(240, innerHeight - 190)))
      : inRows ? stages.map(stage => paneOf(stage).clientWidth) : gallery(aspects, width, gap, +state.size || usualSize());
  stages.forEach((stage, i) => {
    const pane = paneOf(stage), least = state.mode === 'one' || aspects[i] > 2.5 ? LEAST * stage.columns : 0;
    /** @type {HTMLElement} */ (pane.parentElement).style.width = inRows ? '' : `${widths[i]}px`;
    stage.box.style.minWidth = `${least}px`;
    pane.classList.toggle('wide', least > widths[i]);
  });
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext('2d'));
  for (const name of grid.querySelectorAll('.name')) {
    const room = name.clientWidth;
    if (name.dataset.room === `${room}`) continue;
    name.dataset.room = `${room}`;
    context.font = getComputedStyle(name).font;
    name.textContent = shortened(name.title, text => context.measureText(text).width <= room);
  }
}
/** Lines over patches that show nothing of the picture. @param {HTMLCanvasElement} canvas @param {Uint8Array} blank @param {number} rows @param {number} columns */
function hatched(canvas, blank, rows, columns) {
  const side = Math.max(8, Math.ceil(320 / Math.max(rows, columns)));
  [canvas.width, canvas.height] = [columns * side, rows * side];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  blank.forEach((one, i) => { if (one) context.rect(i % columns * side, Math.floor(i / columns) * side, side, side); });
  context.clip();
  context.fillStyle = '#7d838a';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = '#5c6269';
  context.lineWidth = 3;
  context.beginPath();
  for (let x = -canvas.height; x < canvas.width; x += 9) { context.moveTo(x, canvas.height); context.lineTo(x + canvas.height, 0); }
  context.stroke();
  return canvas;
}
/** Only what is in the window, or nearly, is painted. */
const watcher = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    const stage = stages.find(one => one.box === target);
    if (!stage) continue;
    stage.seen = isIntersecting;
    stage.box.classList.toggle('seen', isIntersecting);
  }
  ask();
}, {rootMargin: '40px'});
let laidOut = '';
function render() {
  const wants = wanted(), layout = JSON.stringify([wants, state.mode, state.picture, state.transform]);
  if (layout !== laidOut) {
    laidOut = layout;
    const focused = stages.findIndex(stage => stage.box === document.activeElement);
    $('grid').replaceChildren();
    watcher.disconnect();
    stages = wants.map(([picture, layer]) => addStage(picture, layer));
    if (focused >= 0) stages[Math.min(focused, stages.length - 1)]?.box.focus();
    if (!stages.length) add($('grid'), 'p', {class: 'empty'}, 'No picture is chosen: choose some above.');
  }
  const grid = $('grid');
  grid.className = state.mode === 'layers' && state.picture === 'all' ? 'rows' : '';
  grid.classList.toggle('smooth', state.smooth === '1');
  grid.classList.toggle('selecting', selecting);
  grid.style.setProperty('--columns', `${layers.length}`);
  renderControls();
  layOut();
  update();
}
/** @param {string} id @param {[string, string][]} choices value, text */
function fill(id, choices, value = '') {
  const select = $(id);
  if (JSON.stringify(choices) !== select.dataset.choices) {
    select.dataset.choices = JSON.stringify(choices);
    select.replaceChildren();
    for (const [one, text] of choices) add(select, 'option', {value: one}, text);
  }
  select.value = value;
}
function renderControls() {
  for (const link of $('modes').children) {
    if (link.dataset.mode === state.mode) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  $('layer-field').hidden = state.mode === 'layers';
  $('picture-field').hidden = !['one', 'layers'].includes(state.mode);
  $('transform-field').hidden = state.mode !== 'transforms';
  $('choose').hidden = state.mode === 'transforms' || shown < 2 || (['one', 'layers'].includes(state.mode) && state.picture !== 'all');
  if ($('choose').hidden) closeChooser();
  $('size').hidden = $('size-label').hidden = state.mode === 'one';
  $('choose').textContent = `Pictures: ${chosen().length} of ${shown}`;
  $('chosen').textContent = `${chosen().length} of ${shown} are shown`;
  fill('layer', layers.filter(one => state.mode !== 'groups' || one.groups).map(one => [one.name, one.name]), state.layer);
  fill('measure', measures().map(one => [one, one.startsWith('class:') ? `alike for ${one.slice(6)}` : measureText(one)]), state.measure);
  /** @type {[string, string][]} */
  const those = Array.from({length: shown}, (_, i) => [`${i}`, pictures[i].name]);
  fill('picture', state.mode === 'layers' && shown > 1 ? [...those, ['all', 'all that are chosen']] : those, state.picture);
  fill('transform', transforms.map((one, i) => [`${i}`, `${one.kind} of ${one.source}`]), state.transform);
  fill('map', Object.entries(MAPS), state.map);
  $('hide').value = state.hide;
  $('strength').value = state.strength;
  $('size').value = +state.size || usualSize();
  $('smooth').checked = state.smooth === '1';
  $('marks').checked = state.marks === '1';
  $('region').setAttribute('aria-pressed', `${selecting}`);
  const [a, b] = pinned();
  $('views').hidden = !(a && b);
  for (const button of $('views').children) button.setAttribute('aria-pressed', `${button.dataset.view === state.view}`);
  $('note').textContent = noteOf(!!a, !!b);
  const difference = !!b && state.view === 'difference', alone = ['one', 'transforms'].includes(state.mode) || state.mode === 'layers' && state.picture !== 'all';
  disable('hide', difference ? 'A − B is shown whole' : '');
  disable('map', difference ? 'A − B has colours of its own' : state.mode === 'groups' ? 'Groups have colours of their own' : '');
  disable('marks', difference ? 'A − B is of two patches' : alone ? 'No other picture is shown' : '');
  disable('unpin', state.a ? '' : 'Nothing is pinned');
  $('strength-value').textContent = `${Math.round(100 * strength())} %`;
  $('pin').textContent = !a ? 'Pin as A' : !b ? 'Pin as B' : 'Move B';
  for (const box of $('choices').querySelectorAll('input')) box.checked = chosen().includes(+box.value);
  $('hatched').hidden = !stages.some(stage => stage.blank);
  renderLegend();
}
/** A control that cannot be used says why. @param {string} id @param {string} why empty if it can */
function disable(id, why) {
  $(id).disabled = why !== '';
  $(id).title = why;
}
/** @param {boolean} a @param {boolean} b whether they are pinned */
function noteOf(a, b) {
  if (b && state.view === 'difference') return 'Similarity to A less similarity to B: green patches are more like A, purple ones more like B.';
  const note = /** @type {any} */ (NOTES)[state.mode];
  if (state.a && !a) return `${note} The pin is on another picture.`;
  return a ? note.replaceAll('the yellow one', b && state.view === 'b' ? 'B' : 'A').replace('Under the mouse: where a patch is alike', `Where it is dark, a patch is unlike ${b && state.view === 'b' ? 'B' : 'A'}`) : note;
}
function renderLegend() {
  const groups = state.mode === 'groups' ? layers[layerIndex()].groups : null;
  $('legend').hidden = !groups;
  if (!groups || $('groups').children.length === groups.count) return;
  $('groups').replaceChildren();
  for (let g = 0; g < groups.count; g++) {
    const label = add(add($('groups'), 'li'), 'label', {class: 'check'}), box = add(label, 'input', {type: 'checkbox'});
    add(label, 'i', {class: 'swatch', 'aria-hidden': 'true'}).style.background = groupColour(g);
    add(label, 'span', {}, `Group ${g + 1}`);
    const amount = add(add(label, 'span', {class: 'amount', 'aria-hidden': 'true'}), 'i');
    amount.style.background = groupColour(g);
    box.checked = !hiddenGroups.has(g);
    box.onchange = () => { if (box.checked) hiddenGroups.delete(g); else hiddenGroups.add(g); update(); };
  }
}
/** @param {number} g */
const groupColour = g => GROUP_COLOURS[g] ?? `oklch(.7 .15 ${(g * 137.5) % 360})`;

// A frame: compare, paint, read out.

let asked = 0;
function ask() { asked ||= requestAnimationFrame(() => { asked = 0; update(); }); }

/** @param {boolean} everything whether also what is outside of the window is painted */
function update(everything = false) {
  const spots = sources(), /** @type {Map<number, (Query | null)[]>} */ queries = new Map();
  let largest = 0;
  for (const stage of stages) {
    if (!queries.has(stage.layer)) queries.set(stage.layer, spots.map(spot => queryOf(spot, stage.layer)));
    compareStage(stage, /** @type {(Query | null)[]} */ (queries.get(stage.layer)));
    if (!stage.known) continue;
    stage.best = 0;
    for (let i = 0; i < stage.values.length; i++) {
      if (stage.values[i] > stage.values[stage.best]) stage.best = i;
      const size = Math.abs(stage.values[i]);
      if (size > largest) largest = size;
    }
  }
  $('grid').classList.toggle('painted', spots.length > 0 && state.map !== 'light' || state.mode === 'groups');
  scale = spots.length === 2 ? rounded(largest) : state.measure === 'dot' ? largest || 1 : 1;
  for (const stage of stages) {
    if (!stage.seen && !everything) continue;
    if (state.mode === 'groups' && spots.length < 2) paintGroups(stage); else paint(stage, spots.length === 2 ? 'difference' : state.map);
    mark(stage, spots);
  }
  readOut(spots);
}
/** The next round number: the end of the bar of differences. @param {number} value */
function rounded(value) {
  if (!value) return 1;
  const step = 10 ** Math.floor(Math.log10(value)) / 5;
  return Math.ceil(value / step) * step;
}
/** @param {Stage} stage @param {(Query | null)[]} queries */
function compareStage(stage, queries) {
  const pack = packOf(stage.layer);
  stage.known = !!pack && stage.picture < pack.sizes.length && queries.length > 0 && !queries.includes(null);
  if (!stage.known || !pack) return;
  compare(/** @type {Query} */ (queries[0]), pack, pack.starts[stage.picture], stage.values);
  if (queries.length < 2) return;
  const other = new Float32Array(stage.values.length);
  compare(/** @type {Query} */ (queries[1]), pack, pack.starts[stage.picture], other);
  for (let i = 0; i < other.length; i++) stage.values[i] -= other[i];
}
/** @type {Map<string, Uint32Array>} */
const tinted = new Map();
/** Colours with the strength of the overlay: an opacity of the canvas would cost the browser more. @param {string} map */
function tableOf(map) {
  const key = `${map} ${state.strength}`;
  if (!tinted.has(key)) {
    const table = colours[map].slice(), bytes = new Uint8Array(table.buffer);
    for (let i = 3; i < bytes.length; i += 4) bytes[i] = Math.round(bytes[i] * strength());
    tinted.set(key, table);
  }
  return /** @type {Uint32Array} */ (tinted.get(key));
}
const strength = () => Math.max(0, Math.min(1, +state.strength / 100));
/** @param {Stage} stage @param {string} map */
function paint(stage, map) {
  const table = tableOf(map), half = (table.length - 1) / 2, hide = map === 'difference' ? -Infinity : threshold();
  if (!stage.known) stage.words.fill(0);
  else for (let i = 0; i < stage.values.length; i++) {
    const value = stage.values[i], at = Math.round(half + half * value / scale);
    stage.words[i] = value < hide || stage.blank?.[i] ? 0 : table[at < 0 ? 0 : at >= table.length ? table.length - 1 : at];
  }
  /** @type {CanvasRenderingContext2D} */ (stage.canvas.getContext('2d', {willReadFrequently: true})).putImageData(stage.pixels, 0, 0);
}
/** The number below which nothing is painted. */
const threshold = () => +state.hide <= -1 ? -Infinity : +state.hide * scale;
/** @type {Map<string, number[]>} */
const parsed = new Map();
/** @param {string} colour @returns {number[]} red, green and blue */
function channels(colour) {
  if (!parsed.has(colour)) {
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext('2d'));
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    parsed.set(colour, [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)]);
  }
  return /** @type {number[]} */ (parsed.get(colour));
}
/** @param {Stage} stage @param {number} cell @returns {number[]} the weight of each group in a patch */
function weightsOf(stage, cell) {
  const groups = layers[stage.layer].groups, first = layers[stage.layer].pack.starts[stage.picture] + cell;
  return groups && stage.picture < shown ? Array.from(groups.maps.subarray(first * groups.count, (first + 1) * groups.count), byte => byte / 255) : [];
}
/** How bright a group is where the similarity is so large: its root, as most are small. @param {number} share */
const brightness = share => Math.sqrt(Math.max(0, Math.min(1, share)));
/** The mixed colours of the groups; dark where a patch is unlike the source. @param {Stage} stage */
function paintGroups(stage) {
  const {maps, count} = /** @type {Groups} */ (layers[stage.layer].groups), {data} = stage.pixels, hide = threshold(), opacity = strength();
  const start = layers[stage.layer].pack.starts[stage.picture] * count, mix = Array.from({length: count}, (_, g) => channels(groupColour(g)));
  for (let i = 0; i < stage.values.length; i++) {
    let total = 0, red = 0, green = 0, blue = 0;
    for (let g = 0; g < count; g++) {
      if (hiddenGroups.has(g)) continue;
      const weight = maps[start + i * count + g] ** 2;  // The strongest group leads the colour.
      total += weight; red += weight * mix[g][0]; green += weight * mix[g][1]; blue += weight * mix[g][2];
    }
    const covered = Math.min(1, 2 * Math.sqrt(total) / 255), alike = stage.known ? brightness(stage.values[i] / scale) : 1;
    const alpha = 1 - alike * (1 - covered), shine = total ? alike * covered / (total * alpha || 1) : 0;
    data.set([red * shine, green * shine, blue * shine, stage.known && stage.values[i] < hide ? 0 : 255 * alpha * opacity], 4 * i);
  }
  /** @type {CanvasRenderingContext2D} */ (stage.canvas.getContext('2d', {willReadFrequently: true})).putImageData(stage.pixels, 0, 0);
}
/** Puts a mark on a stage, or takes it away. @param {Stage} stage @param {string} kind @param {Spot | null} spot */
function place(stage, kind, spot) {
  let node = stage.marks.get(kind);
  if (!spot) { if (node) node.hidden = true; return; }
  if (!node) stage.marks.set(kind, node = /** @type {HTMLElement} */ (add(stage.layerOfMarks, 'i', {class: `mark ${kind}`, 'data-pin': kind.toUpperCase(), 'aria-hidden': 'true'})));
  const high = spot.r1 - spot.r0 + 1, wide = spot.c1 - spot.c0 + 1;
  if (node.hidden) node.hidden = false;
  const key = textOf(spot);
  if (node.dataset.at === key) return;
  node.dataset.at = key;
  node.style.width = `${100 * wide / stage.columns}%`;
  node.style.height = `${100 * high / stage.rows}%`;
  node.style.transform = `translate(${100 * spot.c0 / wide}%, ${100 * spot.r0 / high}%)`;
  node.classList.toggle('low', spot.r0 < .12 * stage.rows);
}
/** @param {Stage} stage @param {number} cell @returns {Spot} */
function patch(stage, cell) {
  const row = Math.floor(cell / stage.columns), column = cell % stage.columns;
  return {picture: stage.picture, layer: stage.layer, r0: row, c0: column, r1: row, c1: column};
}
/** @param {Stage} stage @param {Spot[]} spots */
function mark(stage, spots) {
  /** @param {Spot | null} spot */
  const onStage = spot => spot && spot.picture === stage.picture ? inLayer(spot, stage.layer) : null;
  const [a, b] = pinned();
  place(stage, 'a', onStage(a));
  place(stage, 'b', onStage(b));
  place(stage, 'here', onStage(here));
  const elsewhere = stage.known && spots.length === 1 && stage.picture !== spots[0].picture;
  place(stage, 'near', elsewhere && stage.values[stage.best] >= threshold() && state.marks === '1' && state.mode !== 'transforms' ? patch(stage, stage.best) : null);
  let number = elsewhere ? stage.values[stage.best] : NaN;
  if (state.mode === 'transforms') {
    const cells = spots.length ? correspondents(spots[0], transforms[+state.transform].pictures.indexOf(stage.picture)) : [];
    const first = layers[stage.layer].pack.starts[stage.picture], all = cells.map(cell => patch(stage, cell - first));
    place(stage, 'same', elsewhere && all.length ? {...all[0], r0: Math.min(...all.map(one => one.r0)), c0: Math.min(...all.map(one => one.c0)),
                                                  r1: Math.max(...all.map(one => one.r1)), c1: Math.max(...all.map(one => one.c1))} : null);
    number = elsewhere && all.length === 1 ? stage.values[cells[0] - first] : NaN;
  }
  const text = stage.known && Number.isFinite(number) ? fixed(number) : '';
  if (stage.number.textContent !== text) stage.number.textContent = text;
}
/** @param {Spot} spot */
function placeText(spot) {
  const size = layers[spot.layer].pack.sizes[spot.picture], range = (/** @type {string} */ what, /** @type {number} */ p, /** @type {number} */ q) => p === q ? `${what} ${p + 1}` : `${what}s ${p + 1}–${q + 1}`;
  return `${range('row', spot.r0, spot.r1)}, ${range('column', spot.c0, spot.c1)} of ${size[0]} × ${size[1]}`;
}
/** @param {HTMLCanvasElement} canvas @param {Spot | null} spot @param {string} colour of the frame */
function crop(canvas, spot, colour) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')), side = canvas.width;
  context.clearRect(0, 0, side, side);
  if (!spot) return;
  const photograph = photographs[spot.picture], [rows, columns] = layers[spot.layer].pack.sizes[spot.picture];
  if (!photograph?.complete) return;
  const high = photograph.naturalHeight / rows, wide = photograph.naturalWidth / columns;
  const size = Math.max((spot.r1 - spot.r0 + 1) * high, (spot.c1 - spot.c0 + 1) * wide) * 2;  // With as much around it.
  const x = (spot.c0 + spot.c1 + 1) / 2 * wide - size / 2, y = (spot.r0 + spot.r1 + 1) / 2 * high - size / 2, zoom = side / size;
  context.drawImage(photograph, x, y, size, size, 0, 0, side, side);
  context.strokeStyle = '#000a';
  context.lineWidth = 5;
  const box = /** @type {const} */ ([(spot.c0 * wide - x) * zoom, (spot.r0 * high - y) * zoom, (spot.c1 - spot.c0 + 1) * wide * zoom, (spot.r1 - spot.r0 + 1) * high * zoom]);
  context.strokeRect(...box);
  context.strokeStyle = colour;
  context.lineWidth = 2.5;
  context.strokeRect(...box);
}
/** The stage of a spot, if it is on the page. @param {Spot | null} spot */
const stageOf = spot => spot ? stages.find(one => one.picture === spot.picture && one.layer === spot.layer) ?? stages.find(one => one.picture === spot.picture) : undefined;
/** The number at a spot: the mean over a region's patches. @param {Spot | null} spot */
function valueAt(spot) {
  const stage = stageOf(spot);
  if (!spot || !stage?.known) return NaN;
  const there = inLayer(spot, stage.layer);
  let sum = 0, count = 0;
  for (let r = there.r0; r <= there.r1; r++) for (let c = there.c0; c <= there.c1; c++, count++) sum += stage.values[r * stage.columns + c];
  return sum / count;
}
/** @param {string} id @param {Spot | null} spot @param {string} text */
function readCrop(id, spot, text) {
  const figure = $(id);
  crop(figure.firstElementChild, spot, MARKS[text.slice(0, 1).toLowerCase()] ?? MARKS.here);
  figure.lastElementChild.textContent = text;
}
/** @param {Spot[]} spots */
function readOut(spots) {
  const [a, b] = pinned(), main = spots[0] ?? null, view = state.view === 'b' ? 'B' : 'A';
  const other = a ? [here, b, a].find(spot => spot && !spots.some(one => same(one, spot))) ?? null : null;
  const value = valueAt(other), inWhich = a && state.mode === 'layers' ? ` in ${layers[layersShown(a)].name}` : '';
  readCrop('crop-source', main, spots.length === 2 ? 'A and B' : a ? view : main ? 'source' : '');
  readCrop('crop-here', other, !other ? '' : same(other, b) ? 'B' : same(other, a) ? 'A' : 'here');
  const of = main ? `${shortened(nameOf(main.picture))}, ${placeText(inLayer(main, layersShown(main)))}` : 'Move over a picture, tap it, or go to it with Tab.';
  $('reading').classList.toggle('lone', !other);
  $('value').textContent = other ? fixed(value) : '';
  $('value-of').textContent = !other ? of : spots.length === 2 ? 'A − B here' : measureText(state.measure);
  $('where').textContent = [other ? `${view}: ${of}` : '', other ? `${same(other, b) ? 'B' : 'here'}: ${shortened(nameOf(other.picture))}, ${placeText(other)}` : '', b ? `A to B${inWhich}: ${fixed(between() ?? NaN)}` : ''].filter(Boolean).join('\n');
  $('where').title = $('where').textContent;
  drawBar(spots.length === 2 ? 'difference' : state.mode === 'groups' ? 'groups' : state.map, value);
  readNearest(spots);
  readGroups();
  const chart = state.mode === 'transforms';
  $('chart').hidden = !chart;
  if (chart) showChart(spots);
}
/** The similarity of A to B: in the layer of A where every layer is shown. @returns {number | null} */
function between() {
  const [a, b] = pinned(), layer = a ? layersShown(a) : 0, [p, q] = [a && queryOf(a, layer), b && queryOf(b, layer)];
  return p && q ? similarity(p, q) : null;
}
/** @param {Spot} spot */
const layersShown = spot => state.mode === 'layers' ? spot.layer : layerIndex();
let painted = '';
/** @param {string} map @param {number} value */
function drawBar(map, value) {
  const text = [map, scale, state.hide].join();
  if (text !== painted) {
    painted = text;
    const context = /** @type {CanvasRenderingContext2D} */ ($('bar').getContext('2d')), pixels = context.createImageData(511, 1), words = new Uint32Array(pixels.data.buffer);
    if (map === 'groups') words.forEach((_, i) => pixels.data.fill(255 * brightness((i - 255) / 255), 4 * i, 4 * i + 3).fill(255, 4 * i + 3, 4 * i + 4));
    else words.set(colours[map]);
    if (map !== 'difference' && +state.hide > -1) words.fill(0, 0, Math.round(255 + 255 * +state.hide));
    context.putImageData(pixels, 0, 0);
    $('bar').setAttribute('aria-label', `Colours from ${fixed(-scale)} to ${fixed(scale)}`);
    const numbers = [-1, -.5, 0, .5, 1].map(share => fixed(share * scale).replace(/^−?0\.00$/, '0'));
    if ($('ticks').textContent !== numbers.join('')) {
      $('ticks').replaceChildren();
      for (const number of numbers) add($('ticks'), 'span', {}, number);
    }
    $('hide-value').textContent = +state.hide <= -1 ? 'nothing' : fixed(+state.hide * scale);
    $('hide').setAttribute('aria-valuetext', $('hide-value').textContent);
  }
  $('needle').hidden = !Number.isFinite(value);
  if (Number.isFinite(value)) $('needle').style.left = `${50 + 50 * Math.max(-1, Math.min(1, value / scale))}%`;
}
/** @type {{button: HTMLButtonElement, canvas: HTMLCanvasElement, text: HTMLElement}[]} */
const nearSlots = [];
/** @param {Spot[]} spots */
function readNearest(spots) {
  const found = spots.length === 1 && !['one', 'layers', 'transforms'].includes(state.mode)
      ? stages.filter(stage => stage.known && stage.picture !== spots[0].picture && stage.values[stage.best] >= threshold()).sort((p, q) => q.values[q.best] - p.values[p.best]).slice(0, 8) : [];
  $('nearest').hidden = !found.length;
  while (nearSlots.length < found.length) {
    const button = add(add($('near'), 'li'), 'button', {type: 'button'}), slot = {button, canvas: add(button, 'canvas', {width: '96', height: '96'}), text: add(button, 'span')};
    nearSlots.push(slot);
  }
  nearSlots.forEach(({button, canvas, text}, i) => {
    /** @type {HTMLElement} */ (button.parentElement).hidden = i >= found.length;
    if (i >= found.length) return;
    const stage = found[i], spot = patch(stage, stage.best);
    crop(canvas, spot, MARKS.near);
    text.textContent = fixed(stage.values[stage.best]);
    button.title = nameOf(stage.picture);
    button.setAttribute('aria-label', `${nameOf(stage.picture)}, ${placeText(spot)}: ${text.textContent}`);
    button.onclick = () => { here = spot; stage.box.scrollIntoView({block: 'nearest'}); ask(); };
  });
}
function readGroups() {
  if (state.mode !== 'groups') return;
  const stage = stageOf(here), there = here && stage ? inLayer(here, stage.layer) : null;
  const weights = stage && there ? weightsOf(stage, there.r0 * stage.columns + there.c0) : [];
  [...$('groups').querySelectorAll('.amount i')].forEach((bar, g) => { bar.style.transform = `scaleX(${weights[g] ?? 0})`; });
}

// The chart of a transform.

/** @param {Spot[]} spots @returns {{name: string, colour: string, values: number[], from: number}[]} */
function series(spots) {
  const [a, b] = pinned(), one = transforms[+state.transform];
  const of = a && b ? [a, b] : spots;
  return of.filter(spot => one.pictures.includes(spot.picture)).map(spot => ({
    name: spot === b ? 'B' : a ? 'A' : '', colour: spot === b ? 'b' : a ? 'a' : 'link', values: chartOf(spot), from: one.pictures.indexOf(spot.picture),
  }));
}
/** @param {Spot[]} spots */
function showChart(spots) {
  const plot = $('plot'), ratio = devicePixelRatio || 1, {width, height} = plot.getBoundingClientRect(), lines = series(spots);
  if (plot.width !== Math.round(width * ratio)) { plot.width = Math.round(width * ratio); plot.height = Math.round(height * ratio); }
  const context = /** @type {CanvasRenderingContext2D} */ (plot.getContext('2d'));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  drawChart(context, width, height, lines);
  const one = transforms[+state.transform];
  plot.setAttribute('aria-label', lines.length ? lines.map(line => `Similarity of the patch ${line.name && `${line.name} `}in each copy: ` + line.values.map((value, t) => `${amountOf(one, t)} ${Number.isFinite(value) ? fixed(value) : 'outside'}`).join(', ')).join('. ')
      : 'Similarity of a patch in each copy; no patch of a copy is chosen');
}
/** @param {string} name @returns {string} */
const themed = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
const FONT = 'system-ui, "DejaVu Sans", sans-serif';
/** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height @param {ReturnType<typeof series>} lines */
function drawChart(context, width, height, lines) {
  const one = transforms[+state.transform], [left, right, top, bottom] = [46, 14, 26, 44], all = lines.flatMap(line => line.values).filter(Number.isFinite);
  const high = state.measure === 'dot' ? rounded(Math.max(...all, 0)) : 1, least = Math.min(...all, 0) / high, low = least < 0 ? Math.max(-1, Math.floor(least * 4) / 4) * high : 0;
  const steps = one.amounts.length, x = (/** @type {number} */ t) => left + (steps > 1 ? t / (steps - 1) : .5) * (width - left - right - 24) + 12;
  const y = (/** @type {number} */ value) => height - bottom - (value - low) / (high - low) * (height - top - bottom);
  const ink = themed('ink'), soft = themed('soft'), line = themed('line');
  context.font = `12px ${FONT}`;
  context.textBaseline = 'middle';
  context.lineWidth = 1;
  for (let i = 0; i <= 4; i++) {
    const value = low + i * (high - low) / 4;
    context.strokeStyle = line;
    context.beginPath(); context.moveTo(left, y(value)); context.lineTo(width - right, y(value)); context.stroke();
    context.fillStyle = soft; context.textAlign = 'right';
    context.fillText(fixed(value), left - 8, y(value));
  }
  context.textAlign = 'center';
  for (let t = 0; t < steps; t++) {
    const from = lines.some(one => one.from === t);
    context.fillStyle = from ? ink : soft;
    context.font = `${from ? '600 ' : ''}12px ${FONT}`;
    context.fillText(amountOf(one, t), x(t), height - bottom + 15);
  }
  context.font = `12px ${FONT}`;
  context.fillStyle = soft;
  context.fillText(one.kind === 'rotation' ? 'rotation' : 'factor of the area', (left + width - right) / 2, height - 10);
  if (!lines.length) context.fillText('Choose a patch of one of the copies.', (left + width - right) / 2, height / 2 - 20);
  lines.forEach((one, index) => {
    context.strokeStyle = context.fillStyle = themed(one.colour);
    context.lineWidth = 2;
    context.setLineDash(index ? [6, 4] : []);
    context.beginPath();
    one.values.forEach((value, t) => { if (Number.isFinite(value)) context[Number.isFinite(one.values[t - 1]) ? 'lineTo' : 'moveTo'](x(t), y(value)); });
    context.stroke();
    context.setLineDash([]);
    one.values.forEach((value, t) => {
      context.fillStyle = soft;
      if (!Number.isFinite(value)) { if (!index) context.fillText('outside', x(t), height - bottom - 10); return; }
      context.fillStyle = themed(one.colour);
      context.beginPath(); context.arc(x(t), y(value), 3.5, 0, 7); context.fill();
      context.fillStyle = ink;
      if (steps <= 12) context.fillText((t === one.from && one.name ? `${one.name} ` : '') + fixed(value), x(t), y(value) + (index ? 13 : -11));
    });
  });
}

// Mouse, touch and keyboard.

let selecting = false;  // Whether a finger selects a region.
/** @type {{stage: Stage, row: number, column: number, moved: boolean, before: Spot | null} | null} */
let grip = null;
/** @type {{row: number, column: number} | null} The corner that stays while the keyboard selects. */
let anchor = null;

/** @param {Stage} stage @param {{clientX: number, clientY: number}} event @returns {[number, number]} row, column */
function cellAt(stage, event) {
  const frame = stage.box.getBoundingClientRect();
  const within = (/** @type {number} */ share, /** @type {number} */ count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  return [within((event.clientY - frame.top) / frame.height, stage.rows), within((event.clientX - frame.left) / frame.width, stage.columns)];
}
/** @param {Stage} stage @param {number} row @param {number} column @returns {Spot} */
const rectangle = (stage, row, column, other = row, across = column) => ({
  picture: stage.picture, layer: stage.layer, r0: Math.min(row, other), c0: Math.min(column, across), r1: Math.max(row, other), c1: Math.max(column, across),
});
/** @param {Spot} spot */
function pin(spot) {
  const [a, b] = pinned();
  if (same(spot, b)) change({b: '', view: 'a'});
  else if (same(spot, a)) change({a: state.b, b: '', view: 'a'});
  else if (!a) change({a: textOf(spot), b: ''});
  else change({b: textOf(spot), view: b ? state.view : 'difference'});
}
function unpin() {
  if (state.b) change({b: '', view: 'a'});
  else if (state.a) change({a: '', view: 'a'});
  else { here = null; update(); }
}
/** @param {Stage} stage */
function listen(stage) {
  const {box} = stage;
  box.onpointerdown = event => {
    if (event.button) return;
    const [row, column] = cellAt(stage, event);
    grip = {stage, row, column, moved: false, before: here};
    here = rectangle(stage, row, column);
    if (event.pointerType !== 'touch' || selecting) box.setPointerCapture(event.pointerId);
    ask();
  };
  box.onpointermove = event => {
    const [row, column] = cellAt(stage, event), held = grip?.stage === stage ? grip : null;
    if (held && (row !== held.row || column !== held.column)) held.moved = true;
    const region = held?.moved && (event.pointerType !== 'touch' || selecting);
    const spot = region && held ? rectangle(stage, held.row, held.column, row, column) : rectangle(stage, row, column);
    if (!same(spot, here)) { here = spot; ask(); }
  };
  box.onpointerup = event => {
    const held = grip;
    grip = null;
    if (held?.stage !== stage || !here) return;
    const touch = event.pointerType === 'touch' && !selecting;
    if (!touch || (!held.moved && same(here, held.before))) pin(here);
  };
  box.onpointercancel = () => { grip = null; };
  box.onpointerleave = () => { if (state.mode === 'groups' && !grip) { here = null; ask(); } };
  box.onfocus = () => {
    if (here?.picture === stage.picture && here.layer === stage.layer || !box.matches(':focus-visible')) return;
    goTo(stage, Math.floor(stage.rows / 2), Math.floor(stage.columns / 2));
  };
  box.onkeydown = event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (step) { event.preventDefault(); keyStep(stage, step[0], step[1], event.shiftKey); }
    if ((event.key === 'Enter' || event.key === ' ') && here) { event.preventDefault(); anchor = null; pin(here); }
  };
}
/** @param {Stage} stage @param {number} row @param {number} column */
function goTo(stage, row, column) {
  here = rectangle(stage, row, column);
  head = {row, column};
  anchor = null;
  ask();
}
/** @type {{row: number, column: number}} The corner that the keyboard moves. */
let head = {row: 0, column: 0};
/** @param {Stage} stage @param {number} down @param {number} across @param {boolean} select */
function keyStep(stage, down, across, select) {
  const inside = here?.picture === stage.picture ? inLayer(here, stage.layer) : rectangle(stage, Math.floor(stage.rows / 2), Math.floor(stage.columns / 2));
  if (!isRegion(inside)) { head = {row: inside.r0, column: inside.c0}; anchor = null; }
  if (select) anchor ??= {...head};
  const within = (/** @type {number} */ value, /** @type {number} */ count) => Math.max(0, Math.min(count - 1, value));
  head = {row: within(head.row + down, stage.rows), column: within(head.column + across, stage.columns)};
  if (!select) anchor = null;
  here = anchor ? rectangle(stage, anchor.row, anchor.column, head.row, head.column) : rectangle(stage, head.row, head.column);
  update();
  $('said').textContent = `${placeText(here)}${state.a ? `: ${fixed(valueAt(here))}` : ''}`;
}
/** @param {number} by */
function stepLayer(by) {
  if (state.mode === 'layers') return;
  const next = layers[layerIndex() + by];
  if (next && (state.mode !== 'groups' || next.groups)) change({layer: next.name});
}

// Save as PNG.

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} width @returns {string} */
const elided = (context, text, width) => shortened(text, one => context.measureText(one).width <= width);
/** What the view is of. @returns {string[]} */
function subtitle() {
  const [a, b] = pinned(), spots = sources();
  const named = (/** @type {string} */ name, /** @type {Spot} */ spot) => `${name}${shortened(nameOf(spot.picture))}, ${placeText(inLayer(spot, layersShown(spot)))}`;
  const of = a ? [named('A: ', a), b ? named('B: ', b) : ''] : spots.map(spot => named('', spot));
  const view = b && spots.length === 1 ? `overlay of ${state.view.toUpperCase()}` : b ? 'A − B' : '';
  return [state.mode === 'layers' ? '' : `layer ${state.layer}`, measureText(state.measure), ...of, view].filter(Boolean);
}
/** Parts in as few lines as hold them. @param {CanvasRenderingContext2D} context @param {string[]} parts @param {number} width @returns {string[]} */
function wrapped(context, parts, width) {
  const lines = /** @type {string[]} */ ([]);
  for (const part of parts) {
    const longer = lines.length ? `${lines[lines.length - 1]} · ${part}` : '';
    if (longer && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(elided(context, part, width));
  }
  return lines;
}
/** The view as a picture. @returns {HTMLCanvasElement} */
function drawn() {
  update(true);
  const grid = $('grid').getBoundingClientRect(), margin = 24, width = Math.max(grid.width, 320), chart = state.mode === 'transforms' ? 270 : 0;
  const groups = state.mode === 'groups' ? layers[layerIndex()].groups : null, foot = 64 + (groups ? 28 : 0);
  const canvas = document.createElement('canvas'), context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.font = `13px ${FONT}`;
  const lines = wrapped(context, subtitle(), width), head = 48 + 18 * lines.length;
  const total = {width: width + 2 * margin, height: head + grid.height + chart + foot + 2 * margin};
  const zoom = Math.min(2, Math.sqrt(5e7 / (total.width * total.height)));
  canvas.width = Math.round(zoom * total.width);
  canvas.height = Math.round(zoom * total.height);
  context.scale(zoom, zoom);
  context.fillStyle = themed('paper');
  context.fillRect(0, 0, total.width, total.height);
  context.translate(margin, margin);
  context.fillStyle = themed('ink');
  context.font = `600 20px ${FONT}`;
  context.fillText(elided(context, said.title, width), 0, 18);
  context.fillStyle = themed('soft');
  context.font = `13px ${FONT}`;
  lines.forEach((line, i) => context.fillText(line, 0, 42 + 18 * i));
  context.save();
  context.translate(-grid.left, head - grid.top);
  stages.forEach(stage => drawStage(context, stage));
  context.restore();
  context.translate(0, head + grid.height + 8);
  if (chart) { drawChart(context, Math.min(width, 940), 250, series(sources())); context.translate(0, chart); }
  if (groups) { drawLegend(context, groups.count); context.translate(0, 28); }
  if (stages.some(stage => stage.known)) drawScale(context, Math.min(width, 320));
  context.textAlign = 'left';
  if (!$('hatched').hidden) context.fillText($('hatched').textContent, 0, 60);
  return canvas;
}
/** @param {CanvasRenderingContext2D} context @param {number} count */
function drawLegend(context, count) {
  context.textAlign = 'left';
  context.font = `13px ${FONT}`;
  for (let g = 0, x = 0; g < count; g++, x += 96) {
    context.fillStyle = groupColour(g);
    context.fillRect(x, 2, 14, 14);
    context.fillStyle = themed('ink');
    context.fillText(`Group ${g + 1}`, x + 20, 14);
  }
}
/** @param {CanvasRenderingContext2D} context @param {number} width */
function drawScale(context, width) {
  context.imageSmoothingEnabled = false;
  context.fillStyle = '#fff';
  context.fillRect(0, 10, width, 14);
  context.drawImage($('bar'), 0, 10, width, 14);
  context.strokeStyle = themed('line');
  context.strokeRect(0, 10, width, 14);
  context.fillStyle = themed('soft');
  context.font = `12px ${FONT}`;
  context.textBaseline = 'alphabetic';
  [...$('ticks').children].forEach((tick, i) => {
    context.textAlign = i === 0 ? 'left' : i === 4 ? 'right' : 'center';
    context.fillText(tick.textContent, i * width / 4, 40);
  });
}
/** @param {CanvasRenderingContext2D} context @param {Stage} stage */
function drawStage(context, stage) {
  const frame = stage.box.getBoundingClientRect(), box = /** @type {const} */ ([frame.left, frame.top, frame.width, frame.height]);
  const pane = paneOf(stage).getBoundingClientRect(), end = Math.min(frame.right, pane.right), start = Math.max(frame.left, pane.left);
  context.save();
  context.beginPath();
  context.rect(start, pane.top, end - start, frame.height);  // Of a wide picture what is scrolled to.
  context.clip();
  context.imageSmoothingEnabled = true;
  context.filter = $('grid').classList.contains('painted') ? 'grayscale(1)' : 'none';
  context.drawImage(photographs[stage.picture], ...box);
  context.filter = 'none';
  if (stage.hatch) context.drawImage(stage.hatch, ...box);
  context.imageSmoothingEnabled = state.smooth === '1';
  context.drawImage(stage.canvas, ...box);
  for (const [kind, node] of stage.marks) if (!node.hidden) drawMark(context, kind, node);
  context.restore();
  const name = /** @type {HTMLElement} */ (paneOf(stage).parentElement?.querySelector('.name')).title;
  context.font = `12.5px ${FONT}`;
  context.textBaseline = 'alphabetic';
  context.fillStyle = themed('ink');
  context.textAlign = 'right';
  context.fillText(stage.number.textContent ?? '', end, pane.bottom + 16);
  context.fillStyle = themed('soft');
  context.textAlign = 'left';
  context.fillText(elided(context, name, end - start - 44), start, pane.bottom + 16);
}
/** @param {CanvasRenderingContext2D} context @param {string} kind @param {HTMLElement} node */
function drawMark(context, kind, node) {
  const frame = node.getBoundingClientRect(), colour = MARKS[kind];
  for (const [wide, paint] of /** @type {[number, string][]} */ ([[5, '#000a'], [2, colour]])) {
    context.lineWidth = wide;
    context.strokeStyle = paint;
    context.beginPath();
    if (kind === 'near') context.ellipse(frame.left + frame.width / 2, frame.top + frame.height / 2, frame.width / 2 - 1, frame.height / 2 - 1, 0, 0, 7);
    else context.rect(frame.left + 1, frame.top + 1, frame.width - 2, frame.height - 2);
    context.stroke();
  }
  if (kind !== 'a' && kind !== 'b') return;
  const low = node.classList.contains('low'), top = low ? frame.bottom : frame.top - 15;
  context.fillStyle = colour;
  context.fillRect(frame.left, top, 15, 15);
  context.fillStyle = '#000';
  context.font = `700 11px ${FONT}`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillText(kind.toUpperCase(), frame.left + 7.5, top + 8);
}
/** Of what is saved: 'similarity-one-chelsea-blocks.9.png'. */
function fileName() {
  const one = state.mode === 'transforms' ? transforms[+state.transform] : null;
  const picture = one ? one.source : ['one', 'layers'].includes(state.mode) && state.picture !== 'all' ? pictures[+state.picture].name : '';
  const parts = ['similarity', state.mode, [...picture].slice(0, 60).join(''), one ? one.kind : '', state.mode === 'layers' ? '' : state.layer];
  return `${parts.map(part => part.replace(/[^\p{L}\p{N}.]+/gu, '_').replace(/^[_.]+|_+$/g, '')).filter(Boolean).join('-')}.png`;
}
function save() {
  drawn().toBlob(blob => {
    if (!blob) return;
    const link = document.createElement('a'), url = URL.createObjectURL(blob);
    link.href = url;
    link.download = fileName();
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }, 'image/png');
}

// The start.

function listenToControls() {
  for (const [mode, text] of Object.entries(MODES)) {
    if (!available(mode)) continue;
    const link = add($('modes'), 'a', {href: `#mode=${mode}`, 'data-mode': mode}, text);
    link.onclick = (/** @type {MouseEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      change({mode});
    };
  }
  for (const [view, text] of [['a', 'A'], ['b', 'B'], ['difference', 'A − B']]) {
    add($('views'), 'button', {type: 'button', 'data-view': view}, text).onclick = () => change({view});
  }
  for (const name of /** @type {const} */ (['layer', 'measure', 'picture', 'transform', 'map'])) {
    $(name).onchange = () => change({[name]: $(name).value});
  }
  for (const name of /** @type {const} */ (['hide', 'strength', 'size'])) {
    $(name).oninput = () => { state[name] = $(name).value; render(); };
    $(name).onchange = () => writeAddress(false);
  }
  for (const name of /** @type {const} */ (['smooth', 'marks'])) $(name).onchange = () => change({[name]: $(name).checked ? '1' : '0'}, false);
  $('pin').onclick = () => { if (here) pin(here); };
  $('unpin').onclick = unpin;
  $('region').onclick = () => { selecting = !selecting; render(); };
  $('save').onclick = save;
  $('help').onclick = () => $('manual').showModal();
  $('choose').onclick = openChooser;
  $('all').onclick = () => change({pictures: ''});
  $('none').onclick = () => change({pictures: 'none'});
  document.addEventListener('keydown', event => {
    if ($('manual').open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') unpin();
    else if (event.key === '?') $('manual').showModal();
    else if (event.key === '[') stepLayer(-1);
    else if (event.key === ']') stepLayer(1);
  });
  for (const name of ['popstate', 'hashchange']) addEventListener(name, () => { readAddress(); settle(); render(); });
  addEventListener('resize', () => { layOut(); ask(); });
  let width = 0;  // Of the grid, which is narrower where the page begins to scroll.
  new ResizeObserver(() => {
    if (width === $('grid').clientWidth) return;
    width = $('grid').clientWidth;
    requestAnimationFrame(() => { layOut(); ask(); });
  }).observe($('grid'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', ask);
  if (innerWidth <= 860) $('display').open = false;
}
function closeChooser() {
  $('chooser').hidden = true;
  $('choose').setAttribute('aria-expanded', 'false');
}
function openChooser() {
  const open = $('chooser').hidden;
  $('chooser').hidden = !open;
  $('choose').setAttribute('aria-expanded', `${open}`);
  if (!open || $('choices').children.length) return;
  for (let i = 0; i < shown; i++) {
    const label = add(add($('choices'), 'li'), 'label', {title: pictures[i].name}), box = add(label, 'input', {type: 'checkbox', value: `${i}`});
    add(label, 'img', {src: pictures[i].picture, alt: ''});
    add(label, 'span', {}, pictures[i].name);
    box.checked = chosen().includes(i);
    box.onchange = () => change({pictures: rangeText(chosen().filter(one => one !== i).concat(box.checked ? [i] : []).sort((p, q) => p - q))});
  }
}
/** @returns {[number, number] | undefined} picture and layer: of copies the untransformed one */
const beginning = () => wanted()[state.mode === 'transforms' ? Math.max(0, transforms[+state.transform].neutral) : 0];
/** So that the page shows what it does before it is touched. @param {[number, number] | undefined} first picture and layer @returns {Spot | null} */
function middleOf(first) {
  if (!first) return null;
  const [picture, layer] = first, [rows, columns] = layers[layer].pack.sizes[picture], [r, c] = [rows >> 1, columns >> 1];
  return {picture, layer, r0: r, c0: c, r1: r, c1: c};
}
/** What scripts and tests may ask of the page: the numbers that are shown, after a change is painted. */
const overlay = {
  state,
  stages: () => stages.map(one => ({picture: one.picture, layer: layers[one.layer].name, rows: one.rows, columns: one.columns, known: one.known, values: [...one.values]})),
  here: () => here,
  scale: () => scale,
  chart: () => series(sources()).map(line => line.values.map(value => Number.isFinite(value) ? value : null)),
  groups: (/** @type {number} */ stage) => Array.from(stages[stage].values, (_, cell) => weightsOf(stages[stage], cell)),
  between,
  subtitle,
};
async function start() {
  document.title = said.title;
  $('title').textContent = $('title').title = said.title;
  $('about').textContent = said.about;
  await readData();
  for (const one of pictures) {
    const photograph = new Image();
    photograph.src = one.picture;
    photograph.onload = ask;
    photographs.push(photograph);
  }
  readAddress();
  if (!pinned()[0] && state.mode !== 'groups') here = middleOf(beginning());
  listenToControls();
  render();
  Object.assign(window, {overlay});
  document.documentElement.dataset.ready = 'true';
}
start();
