/** Whether a text, or all texts of one expression, are texts of another. */

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./expressions.js').Ranges} Ranges */

/** A place in an automaton: it reads a character of a set, or leads on without reading.
 * @typedef {{ ranges?: Ranges, next: number[] }} Place */

const MOST_PLACES = 5000,
    MOST_STEPS = 50_000;

/** @param {Expression} expression of sets @returns {Place[] | undefined} the last one is its beginning, the first its end */
function automaton(expression) {
    /** @type {Place[]} */
    const places = [{ next: [] }];
    const add = (/** @type {number[]} */ next, /** @type {Ranges} */ ranges) => places.push({ next, ranges }) - 1;
    /** @param {Expression} e @param {number} next @returns {number} */
    const before = (e, next) => {
        if (places.length > MOST_PLACES) return 0;
        if (e.is === 'set') return add([next], e.ranges);
        if (e.is === 'all') return e.parts.reduceRight((at, part) => before(part, at), next);
        if (e.is === 'any') return places.push({ next: e.parts.map((part) => before(part, next)) }) - 1;
        if (e.is !== 'times') return next;
        let at = next;
        if (e.max === Infinity) {
            at = places.push({ next: [next] }) - 1;
            places[at].next.push(before(e.part, at));
        } else
            for (let i = e.min; i < e.max && places.length <= MOST_PLACES; i++)
                at = places.push({ next: [before(e.part, at), next] }) - 1;
        for (let i = 0; i < e.min && places.length <= MOST_PLACES; i++) at = before(e.part, at);
        return at;
    };
    places.push({ next: [before(expression, 0)] });
    return places.length > MOST_PLACES ? undefined : places;
}

/** All places that are reached from some without reading. @param {Place[]} places @param {number[]} from */
function reached(places, from) {
    const seen = new Set(from);
    for (const at of seen) if (!places[at].ranges) for (const next of places[at].next) seen.add(next);
    return [...seen].sort((a, b) => a - b);
}

/** @param {Place[]} places @param {number[]} from @param {number} point */
function step(places, from, point) {
    const next = from.flatMap((at) => (has(places[at].ranges ?? [], point) ? places[at].next : []));
    return reached(places, next);
}

/** One character of each kind that sets tell apart. @param {Ranges[]} sets */
function representatives(sets) {
    const distinct = [...new Map(sets.map((ranges) => [ranges.join(), ranges])).values()],
        points = new Set([0]);
    for (const [first, last] of distinct.flat()) points.add(first).add(last + 1);
    /** @type {Map<string, number>} */
    const kinds = new Map();
    for (const point of points) kinds.set(distinct.map((ranges) => Number(has(ranges, point))).join(''), point);
    return [...kinds.values()];
}

/** @param {Ranges} ranges @param {number} point */
const has = (ranges, point) => ranges.some(([first, last]) => first <= point && point <= last);

/**
 * @param {Expression} a of sets
 * @param {Expression} b of sets
 * @returns {boolean} whether each text of a is one of b; false, too, if that takes too long to find out
 */
export function isIncluded(a, b) {
    const [own, other] = [automaton(a), automaton(b)];
    if (!own || !other) return false;
    const points = representatives([...own, ...other].flatMap(({ ranges }) => (ranges ? [ranges] : [])));
    const begin = (/** @type {Place[]} */ places) => reached(places, [places.length - 1]);
    const open = [[begin(own), begin(other)]],
        seen = new Set();
    let steps = 0;
    for (let pair = open.pop(); pair; pair = open.pop()) {
        const [here, there] = pair,
            key = `${here}/${there}`;
        if (seen.has(key)) continue;
        seen.add(key);
        if (here[0] === 0 && there[0] !== 0) return false;
        for (const point of points) {
            if (++steps > MOST_STEPS) return false;
            const next = step(own, here, point);
            if (next.length > 0) open.push([next, step(other, there, point)]);
        }
    }
    return true;
}

/**
 * Tells whether texts are among those of an expression, in a time that grows with their length only. (A RegExp may take
 * one that grows with 2^length.)
 * @param {Expression} expression of sets
 * @returns {((text: string, work: (n: number) => void) => boolean) | undefined} work: is told of each step. undefined:
 *     the expression is too large
 */
export function matcherOf(expression) {
    const places = automaton(expression);
    if (!places) return undefined;
    const begin = reached(places, [places.length - 1]);
    return (text, work) => {
        let here = begin;
        for (const character of text) {
            work(here.length);
            here = step(places, here, Number(character.codePointAt(0)));
        }
        return here[0] === 0;
    };
}
