/** Reads GBNF as nibble writes it, and walks through it by chance: texts that a grammar allows. */

/**
 * @typedef {{ is: 'text', text: string } | { is: 'set', ranges: [number, number][], negated: boolean }
 *     | { is: 'rule', name: string } | { is: 'all', parts: Part[] } | { is: 'any', parts: Part[] }
 *     | { is: 'times', part: Part, min: number, max: number }} Part
 */

/** @param {string} gbnf @returns {Map<string, Part>} */
export function readGbnf(gbnf) {
    /** @type {Map<string, Part>} */
    const rules = new Map();
    for (const line of gbnf.trimEnd().split('\n')) {
        const [, name, body] = /^([A-Za-z0-9-]+) ::= (.*)$/.exec(line) ?? [];
        if (!name || rules.has(name)) throw new Error(`no rule, or a second one: ${line}`);
        rules.set(name, readBody(body));
    }
    return rules;
}

/** @param {string} body @returns {Part} */
function readBody(body) {
    const points = Array.from(body);
    let at = 0;
    function character() {
        const c = points[at++];
        if (c !== '\\') return Number(c.codePointAt(0));
        const letter = points[at++],
            digits = { x: 2, u: 4, U: 8 }[letter];
        if (digits) return Number.parseInt(points.slice(at, (at += digits)).join(''), 16);
        return letter === 'n' ? 10 : letter === 'r' ? 13 : letter === 't' ? 9 : Number(letter.codePointAt(0));
    }
    /** @returns {Part} */
    function item() {
        const c = points[at];
        if (c === '"') {
            let text = '';
            for (at++; points[at] !== '"'; ) text += String.fromCodePoint(character());
            at++;
            return { is: 'text', text };
        }
        if (c === '[') {
            at++;
            const negated = points[at] === '^';
            if (negated) at++;
            /** @type {[number, number][]} */
            const ranges = [];
            while (points[at] !== ']') {
                const first = character(),
                    range = points[at] === '-' && points[at + 1] !== ']';
                if (range) at++;
                ranges.push([first, range ? character() : first]);
            }
            at++;
            return { is: 'set', ranges, negated };
        }
        if (c === '(') {
            at++;
            const inner = choice();
            if (points[at++] !== ')') throw new Error(`a parenthesis is missing in ${body}`);
            return inner;
        }
        const [name] = /^[A-Za-z0-9-]+/.exec(points.slice(at, at + 100).join('')) ?? [];
        if (!name) throw new Error(`what is this in a grammar? ${points.slice(at, at + 20).join('')}`);
        at += name.length;
        return { is: 'rule', name };
    }
    /** @returns {Part} */
    function sequence() {
        /** @type {Part[]} */
        const parts = [];
        while (at < points.length && points[at] !== '|' && points[at] !== ')') {
            let part = item();
            const count = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})/.exec(points.slice(at, at + 30).join(''));
            if (count) {
                at += count[0].length;
                const [, sign, min, comma, max] = count;
                part = sign
                    ? { is: 'times', part, min: sign === '+' ? 1 : 0, max: sign === '?' ? 1 : Infinity }
                    : {
                          is: 'times',
                          part,
                          min: Number(min),
                          max: comma ? (max ? Number(max) : Infinity) : Number(min),
                      };
            }
            parts.push(part);
            while (points[at] === ' ') at++;
        }
        return parts.length === 1 ? parts[0] : { is: 'all', parts };
    }
    /** @returns {Part} */
    function choice() {
        const parts = [sequence()];
        while (points[at] === '|') {
            at++;
            while (points[at] === ' ') at++;
            parts.push(sequence());
        }
        return parts.length === 1 ? parts[0] : { is: 'any', parts };
    }
    const all = choice();
    if (at < points.length) throw new Error(`what follows in ${body}: ${points.slice(at).join('')}`);
    return all;
}

/** @param {() => number} random 0 to 1, without 1 @param {number} n */
const below = (random, n) => Math.floor(random() * n);

/**
 * A text that a grammar allows. Deep within it, the shortest ways are taken, so that it ends.
 * @param {Map<string, Part>} rules
 * @param {() => number} random
 * @param {string} [root]
 */
export function randomText(rules, random, root = 'root') {
    const heights = heightsOf(rules);
    const height = (/** @type {Part} */ part) => heightOf(part, heights);
    const out = /** @type {string[]} */ ([]);
    /** @type {(part: Part, depth: number) => void} */
    const walk = (part, depth) => {
        switch (part.is) {
            case 'text':
                out.push(part.text);
                return;
            case 'set':
                out.push(randomCharacter(part, random));
                return;
            case 'rule':
                walk(/** @type {Part} */ (rules.get(part.name)), depth + 1);
                return;
            case 'all':
                for (const each of part.parts) walk(each, depth);
                return;
            case 'any': {
                const least = Math.min(...part.parts.map(height));
                const open = depth > 6 ? part.parts.filter((each) => height(each) === least) : part.parts;
                walk(open[below(random, open.length)], depth);
                return;
            }
            case 'times': {
                // often the ends of the range, where mistakes are
                const most = Math.min(part.max, part.min + (depth > 6 ? 0 : below(random, 4) === 0 ? 20 : 3)),
                    n = [part.min, most, part.min + below(random, most - part.min + 1)][below(random, 3)];
                for (let i = 0; i < n; i++) walk(part.part, depth);
            }
        }
    };
    walk({ is: 'rule', name: root }, 0);
    return out.join('');
}

/** @param {Part & { is: 'set' }} set @param {() => number} random */
function randomCharacter({ ranges, negated }, random) {
    if (!negated) {
        const [first, last] = ranges[below(random, ranges.length)],
            point = [first, last, first + below(random, last - first + 1)][below(random, 3)];
        return String.fromCodePoint(point);
    }
    for (;;) {
        const point = below(random, [0x20, 0x80, 0x3000, 0x110000][below(random, 4)]);
        const isHalf = point >= 0xd800 && point < 0xe000;
        if (!isHalf && !ranges.some(([first, last]) => first <= point && point <= last))
            return String.fromCodePoint(point);
    }
}

/** How many rules lie within each other at least. @param {Map<string, Part>} rules */
function heightsOf(rules) {
    /** @type {Map<string, number>} */
    const heights = new Map();
    for (let changed = true; changed; ) {
        changed = false;
        for (const [name, part] of rules) {
            const height = 1 + heightOf(part, heights);
            if (height < (heights.get(name) ?? Infinity)) {
                heights.set(name, height);
                changed = true;
            }
        }
    }
    return heights;
}

/** @param {Part} part @param {Map<string, number>} heights @returns {number} */
function heightOf(part, heights) {
    if (part.is === 'rule') return heights.get(part.name) ?? Infinity;
    if (part.is === 'all') return Math.max(0, ...part.parts.map((each) => heightOf(each, heights)));
    if (part.is === 'any') return Math.min(...part.parts.map((each) => heightOf(each, heights)));
    return part.is === 'times' && part.min > 0 ? heightOf(part.part, heights) : 0;
}
