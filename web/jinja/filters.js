/**
 * jinja2's filters, and transformers' tojson; but not urlize, xmlattr, pprint and random, which make HTML or random
 * choices.
 */
import { apply, takes } from './arguments.js';
import { percent } from './format.js';
import { is } from './is.js';
import { centred, firstRewritten, joinedBy, look } from './methods.js';
import { LimitError } from './problems.js';
import {
    checkItems,
    EMPTY,
    escaped,
    joined,
    MAX_TEXT,
    repeated,
    replaced,
    SPACE,
    splitAtSpaces,
    splitLines,
    stripped,
    Text,
    text,
} from './text.js';
import {
    calculated,
    compare,
    Dict,
    describeValue,
    equal,
    fail,
    Group,
    Iterator,
    isInteger,
    isNumber,
    iterate,
    json,
    kind,
    lengthOf,
    limited,
    needIndex,
    needText,
    several,
    str,
    Tuple,
    truth,
    Undefined,
    weight,
} from './values.js';

/** @typedef {import('./values.js').Value} Value */
/** @typedef {import('./arguments.js').Signature} Signature */

/** Bounds what one filter does to many values, which may all be the same long text. */
function newMeter() {
    let left = 8 * MAX_TEXT;
    return (/** @type {Value} */ value) => {
        left -= weight(value);
        if (left < 0) throw new LimitError('it does something to many long texts at once');
        return value;
    };
}

/** Parts of an attribute's path. */
const MAX_PATH = 100;

/** A function that follows an attribute's path. Numbers in the path are indices. @param {Value} path @returns {(item: Value) =>
 * Value} */
function getter(path, otherwise = undefined) {
    const keys =
        path instanceof Text
            ? path.string.split('.', MAX_PATH + 1).map((part) => (/^\d+$/.test(part) ? BigInt(part) : text(part)))
            : path === null
              ? []
              : [path];
    if (keys.length > MAX_PATH) throw new LimitError(`a path of attributes has more than ${MAX_PATH} parts`);
    return (item) =>
        keys.reduce((value, key) => {
            const found = look(value, key, false);
            return found instanceof Undefined && otherwise !== undefined && otherwise !== null ? otherwise : found;
        }, item);
}

/**
 * The keys by which items are compared. Strings are compared without regard to case, unless `sensitive`.
 * @param {Value[]} items
 * @param {(item: Value) => Value} by
 * @param {Value} sensitive
 * @returns {Value[]}
 */
function keysOf(items, by, sensitive) {
    const meter = newMeter();
    /** @type {(key: Value) => Value} */
    const folded = (key) =>
        key instanceof Text ? text(key.string.toLowerCase()) : Array.isArray(key) ? key.map(folded) : key;
    const keys = items.map((item) => {
        const key = by(item);
        (Array.isArray(key) ? key : [key]).forEach(meter);
        return key;
    });
    return truth(sensitive) ? keys : keys.map(folded);
}

/** @param {Value[]} items @param {Value[]} keys of them @param {Value} reverse */
function sorted(items, keys, reverse) {
    const longest = keys.reduce((most, key) => Math.max(most, weight(Array.isArray(key) ? key[0] : key)), 1);
    if (keys.length * Math.log2(keys.length + 1) * longest > 64 * MAX_TEXT)
        throw new LimitError('it sorts too many long texts');
    const order = items.map((_, i) => i);
    return order
        .sort((a, b) => (truth(reverse) ? compare(keys[b], keys[a]) : compare(keys[a], keys[b])))
        .map((i) => items[i]);
}

/** @param {number} sign */
const extreme = (sign) =>
    takes('case_sensitive attribute', (value, sensitive = false, attribute = null) => {
        const items = [...iterate(value)],
            keys = keysOf(items, getter(attribute), sensitive);
        const best = items.reduce((best, _, i) => (best < 0 || compare(keys[i], keys[best]) * sign > 0 ? i : best), -1);
        return best < 0 ? new Undefined('there is no item') : items[best];
    });

/**
 * @param {boolean} keep those that pass the test, or the others
 * @param {boolean} attribute whether an attribute of theirs is tested
 */
const chosen =
    (keep, attribute) =>
    (/** @type {Value} */ value, /** @type {Value[]} */ args, /** @type {Map<string, Value>} */ named) => {
        if (!truth(value)) return new Iterator([]);
        if (attribute && args.length === 0) fail('there is no attribute to select by');
        const [name, ...others] = args.slice(attribute ? 1 : 0);
        const of = attribute ? getter(args[0]) : (/** @type {Value} */ item) => item;
        const meter = newMeter();
        const passes = (/** @type {Value} */ item) => {
            const tested = meter(of(item));
            others.forEach(meter);
            return name === undefined ? truth(tested) : is(needText(name).string, tested, others, named);
        };
        return new Iterator([...iterate(value)].filter((item) => passes(item) === keep));
    };

/**
 * Filters that pass their arguments on, to another filter, a test or a format.
 * @type {Record<string, (value: Value, args: Value[], named: Map<string, Value>) => Value>}
 */
const PASSING = {
    format: (value, args, named) =>
        named.size > 0
            ? percent(needText(str(value)), dictOfNamed(named))
            : percent(needText(str(value)), Tuple.from(args)),
    map: (value, args, named) => {
        const items = truth(value) ? [...iterate(value)] : [],
            meter = newMeter();
        if (args.length === 0 && named.has('attribute'))
            return new Iterator(items.map(getter(named.get('attribute'), named.get('default'))));
        const [name, ...others] = args;
        const filter = (/** @type {Value} */ item) =>
            filtered(needText(name ?? fail('map() needs a filter')).string, item, others, named);
        return new Iterator(items.map((item) => meter(filter(meter(item)))));
    },
    reject: chosen(false, false),
    rejectattr: chosen(false, true),
    select: chosen(true, false),
    selectattr: chosen(true, true),
};

/** @param {Map<string, Value>} named */
function dictOfNamed(named) {
    const dict = new Dict();
    for (const [key, value] of named) dict.set(text(key), value);
    return dict;
}

/** Python's int(). @param {Text} of @param {number} base */
function parsedInteger(of, base) {
    const string = stripped(of, null, true, true)
        .string.replace(/(?<=[\da-z])_(?=[\da-z])/gi, '')
        .toLowerCase();
    const [, sign, digits] = /^([-+]?)([\da-z]+)$/.exec(string) ?? [];
    if (digits === undefined || string.length > 4300) return null;
    const prefix = { 2: '0b', 8: '0o', 16: '0x' }[base];
    const bare = prefix && digits.startsWith(prefix) ? digits.slice(2) : digits;
    let value = 0n;
    for (const c of bare) {
        const digit = parseInt(c, 36);
        if (digit >= base) return null;
        value = value * BigInt(base) + BigInt(digit);
    }
    return bare === '' ? null : sign === '-' ? -value : value;
}

/** Python's float(). @param {Value} value */
function parsedFloat(value) {
    if (isNumber(value)) return Number(value);
    if (value instanceof Undefined) fail(value.message);
    const string = value instanceof Text ? stripped(value, null, true, true).string.replace(/(?<=\d)_(?=\d)/g, '') : '';
    if (/^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(string)) return Number(string);
    const [, sign, word] = /^([-+]?)(inf|infinity|nan)$/i.exec(string) ?? [];
    return word === undefined ? null : /^n/i.test(word) ? NaN : sign === '-' ? -Infinity : Infinity;
}

/** Half goes to the even neighbour, as in Python. @param {Value} value @param {number} places */
function rounded(value, places) {
    if (!isNumber(value)) fail(`${describeValue(value)} cannot be rounded`);
    if (isInteger(value) && places >= 0) return BigInt(value);
    const x = Number(value),
        factor = 10 ** Math.abs(places);
    if (places > 0) return Number(x.toFixed(Math.min(places, 100)));
    const scaled = x / factor,
        near = Math.round(scaled);
    const even = Math.abs(scaled % 1) === 0.5 ? 2 * Math.round(scaled / 2) : near;
    return isInteger(value) ? BigInt(even * factor) : even * factor;
}

/** @param {Text} of HTML */
function withoutTags(of) {
    const { string } = of,
        pieces = [];
    let at = 0;
    for (let open = string.indexOf('<'); open >= 0; open = string.indexOf('<', at)) {
        const end = string.startsWith('<!--', open) ? '-->' : '>',
            close = string.indexOf(end, open + 1);
        if (close < 0) break;
        pieces.push(of.slice(at, open));
        at = close + end.length;
    }
    return joined([...pieces, of.slice(at)]);
}

/** @param {string} word */
const upperFirst = (word) => {
    const [first = ''] = /^./su.exec(word) ?? [];
    return first.toUpperCase() + word.slice(first.length).toLowerCase();
};

/** A value as a part of a URL: other characters become %xx. @param {Value} value @param {boolean} query */
const quoted = (value, query) =>
    str(value).mapped((s) => {
        const whole = s.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd');
        const all = encodeURIComponent(whole).replace(
            /[!'()*]/g,
            (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
        );
        return query ? all.replace(/%20/g, '+') : all.replace(/%2F/g, '/');
    });

/** @param {Text} of @param {number} width */
function wrappedLine(of, width, breakLong = true) {
    const lines = [],
        chunks = new RegExp(`[${SPACE}]+|[^${SPACE}]+`, 'g');
    let from = 0,
        length = 0; // where the line begins, and how many characters it has
    const flush = (/** @type {number} */ to) => lines.push(stripped(of.slice(from, to), null, false, true));
    for (const { 0: word, index } of of.string.matchAll(chunks)) {
        let chunk = of.slice(index, index + word.length);
        if (length + chunk.length > width && length > 0) {
            flush(index);
            chunk = stripped(chunk, null, true, false);
            from = index + word.length - chunk.string.length;
            length = 0;
        }
        while (breakLong && chunk.length > width) {
            lines.push(chunk.slice(0, chunk.unitAt(width)));
            from += chunk.unitAt(width);
            chunk = chunk.slice(chunk.unitAt(width));
        }
        length += chunk.length;
    }
    flush(of.string.length);
    return lines;
}

/** @type {Record<string, Signature>} */
export const FILTERS = {
    abs: takes('', (value) =>
        isNumber(value)
            ? Number(value) < 0
                ? calculated('*', value, -1n)
                : value
            : fail(`${describeValue(value)} has no absolute value`),
    ),
    attr: takes('name /', (value, name) => look(value, needText(name), true)),
    batch: takes('linecount / fill_with', (value, size, fill = null) => {
        const n = needIndex(size),
            items = [...iterate(value)],
            batches = [];
        if (n < 1) fail('batch() needs a size of at least 1');
        for (let at = 0; at < items.length; at += n) batches.push(items.slice(at, at + n));
        const last = batches.at(-1);
        while (last && fill !== null && last.length < n) limited(last).push(fill);
        return new Iterator(batches);
    }),
    capitalize: takes('', (value) => firstRewritten(str(value))),
    center: takes('width', (value, width = 80n) => {
        const body = str(value),
            room = Math.max(0, needIndex(width) - body.length),
            left = centred(room, Number(width));
        return joined([repeated(text(' '), left), body, repeated(text(' '), room - left)]);
    }),
    default: takes('default_value boolean', (value, otherwise = EMPTY, falsy = false) =>
        value instanceof Undefined || (truth(falsy) && !truth(value)) ? otherwise : value,
    ),
    dictsort: takes('case_sensitive by reverse', (value, sensitive = false, by = text('key'), reverse = false) => {
        const at = ['key', 'value'].indexOf(needText(by).string);
        if (at < 0) fail('dictsort() goes by "key" or by "value"');
        const items = [
            ...(value instanceof Dict ? value.items() : fail(`dictsort() needs a dict, not ${describeValue(value)}`)),
        ];
        return sorted(
            items,
            keysOf(items, (item) => item[at], sensitive),
            reverse,
        );
    }),
    escape: takes('', (value) => {
        const body = escaped(str(value));
        return new Text(body.string, body.marks, true);
    }),
    filesizeformat: takes('binary', (value, binary = false) => {
        const bytes = parsedFloat(value) ?? fail('filesizeformat() needs a number'),
            base = truth(binary) ? 1024 : 1000;
        if (bytes < base) return text(bytes === 1 ? '1 Byte' : `${Math.trunc(bytes)} Bytes`);
        const power = Math.min(8, Math.max(1, Math.floor(Math.log(bytes) / Math.log(base) + 1e-12)));
        const [prefixes, unit] = truth(binary) ? ['KMGTPEZY', 'iB'] : ['kMGTPEZY', 'B'];
        return text(`${(bytes / base ** power).toFixed(1)} ${prefixes[power - 1]}${unit}`);
    }),
    first: takes('', (value) => iterate(value)[0] ?? new Undefined('there is no first item')),
    float: takes('default', (value, otherwise = 0) => parsedFloat(value) ?? otherwise),
    groupby: takes('attribute / default case_sensitive', (value, attribute, otherwise = null, sensitive = false) => {
        const items = [...iterate(value)],
            by = getter(attribute, otherwise),
            keys = keysOf(items, by, sensitive);
        /** @type {[Value, Value[], Value][]} */
        const groups = [];
        for (const i of sorted(
            items.map((_, i) => i),
            keys,
            false,
        )) {
            const last = groups.at(-1);
            if (last && equal(last[2], keys[i])) last[1].push(items[i]);
            else groups.push([by(items[i]), [items[i]], keys[i]]);
        }
        return groups.map(([grouper, list]) => Group.of(grouper, list));
    }),
    indent: takes('width first blank', (value, width = 4n, first = false, blank = false) => {
        const step = width instanceof Text ? width : repeated(text(' '), needIndex(width));
        const lines = splitLines(joined([needText(value), text('\n')]), false);
        return joined(
            lines.flatMap((line, i) => {
                const indented = i === 0 ? truth(first) : truth(blank) || line.string !== '';
                return [...(i > 0 ? [text('\n')] : []), ...(indented ? [step] : []), line];
            }),
        );
    }),
    int: takes('default base', (value, otherwise = 0n, base = 10n) => {
        const whole =
            value instanceof Text ? parsedInteger(value, needIndex(base)) : isInteger(value) ? BigInt(value) : null;
        if (value instanceof Undefined) fail(value.message);
        const float = whole ?? parsedFloat(value);
        return whole ?? (float !== null && Number.isFinite(float) ? BigInt(Math.trunc(Number(float))) : otherwise);
    }),
    items: takes('', (value) =>
        value instanceof Undefined
            ? new Iterator([])
            : value instanceof Dict
              ? new Iterator([...value.items()])
              : fail(`items needs a dict, not ${kind(value)}`),
    ),
    join: takes('d attribute', (value, between = EMPTY, attribute = null) =>
        joinedBy(
            str(between),
            [...iterate(value)].map((item) => str(getter(attribute)(item))),
        ),
    ),
    last: takes('', (value) =>
        value instanceof Iterator
            ? fail('a generator has no last item')
            : ([...iterate(value)].at(-1) ?? new Undefined('there is no last item')),
    ),
    length: takes('', lengthOf),
    list: takes('', (value) => [...iterate(value)]),
    lower: takes('', (value) => str(value).mapped((s) => s.toLowerCase())),
    max: extreme(1),
    min: extreme(-1),
    replace: takes('old new / count', (value, old, by, count = null) =>
        replaced(str(value), str(old), str(by), count === null ? -1 : needIndex(count)),
    ),
    reverse: takes('', (value) =>
        value instanceof Text ? joined(value.characters().reverse()) : new Iterator([...iterate(value)].reverse()),
    ),
    round: takes('precision method', (value, precision = 0n, method = text('common')) => {
        const places = needIndex(precision),
            how = needText(method).string;
        if (how === 'common')
            return places === 0 && !isInteger(value) ? Number(rounded(value, 0)) : rounded(value, places);
        return how === 'ceil' || how === 'floor'
            ? Math[how](Number(value) * 10 ** places) / 10 ** places
            : fail('round() goes by "common", "ceil" or "floor"');
    }),
    safe: takes('', (value) => {
        const body = str(value);
        return new Text(body.string, body.marks, true);
    }),
    slice: takes('slices / fill_with', (value, slices, fill = null) => {
        const items = [...iterate(value)],
            n = needIndex(slices),
            each = Math.floor(items.length / n),
            extra = items.length % n;
        if (n < 1) fail('slice() needs at least 1 slice');
        checkItems(n);
        let at = 0;
        return new Iterator(
            Array.from({ length: n }, (_, i) => {
                const part = items.slice(at, (at += each + (i < extra ? 1 : 0)));
                return fill !== null && i >= extra ? [...part, fill] : part;
            }),
        );
    }),
    sort: takes('reverse case_sensitive attribute', (value, reverse = false, sensitive = false, attribute = null) => {
        const paths =
            attribute instanceof Text
                ? attribute.string.split(',').map((path) => getter(text(path)))
                : [getter(attribute)];
        const items = [...iterate(value)];
        return sorted(
            items,
            keysOf(items, (item) => paths.map((path) => path(item)), sensitive),
            reverse,
        );
    }),
    string: takes('', (value) => str(value)),
    striptags: takes('', (value) => joinedBy(text(' '), splitAtSpaces(withoutTags(str(value)), -1))),
    sum: takes('attribute start', (value, attribute = null, start = 0n) => {
        if (start instanceof Text) fail('sum() does not add strings; use join()');
        const of = getter(attribute),
            meter = newMeter();
        return [...iterate(value)].reduce((sum, item) => meter(calculated('+', sum, of(item))), start);
    }),
    title: takes('', (value) =>
        str(value).mapped((s) =>
            s
                .split(new RegExp(`([-({\\[<${SPACE}]+)`))
                .map(upperFirst)
                .join(''),
        ),
    ),
    tojson: takes(
        'ensure_ascii indent separators sort_keys',
        (value, ascii = false, indent = null, separators = null, sort) => {
            const [item, key] =
                separators === null
                    ? [text(indent === null ? ', ' : ','), text(': ')]
                    : several(separators, 2, 'separators').map((one) => needText(one));
            const step =
                indent === null
                    ? null
                    : indent instanceof Text
                      ? indent.string
                      : ' '.repeat(Math.min(Math.max(0, needIndex(indent)), 1000));
            return json(value, {
                ascii: truth(ascii),
                indent: step,
                item,
                key,
                sort: sort !== undefined && truth(sort),
            });
        },
    ),
    trim: takes('chars', (value, set = null) =>
        stripped(str(value), set === null ? null : needText(set).string, true, true),
    ),
    truncate: takes(
        'length killwords end leeway',
        (value, length = 255n, kill = false, end = text('...'), leeway = 5n) => {
            const body = needText(value),
                most = needIndex(length),
                rest = most - end.length;
            if (rest < 0) fail('truncate() needs a length of at least that of its end');
            if (body.length <= most + needIndex(leeway ?? 5n)) return body;
            const head = body.slice(0, body.unitAt(rest)),
                space = head.string.lastIndexOf(' ');
            return joined([truth(kill) || space < 0 ? head : head.slice(0, space), end]);
        },
    ),
    unique: takes('case_sensitive attribute', (value, sensitive = false, attribute = null) => {
        const seen = new Dict(),
            items = [...iterate(value)],
            keys = keysOf(items, getter(attribute), sensitive);
        return new Iterator(
            items.filter((_, i) => {
                const found = seen.get(keys[i]) !== undefined;
                seen.set(keys[i], true);
                return !found;
            }),
        );
    }),
    upper: takes('', (value) => str(value).mapped((s) => s.toUpperCase())),
    urlencode: takes('', (value) => {
        if (value instanceof Text || isNumber(value) || value === null) return quoted(value, false);
        const pairs = [...(value instanceof Dict ? value.items() : iterate(value))].map((pair) =>
            several(pair, 2, 'urlencode'),
        );
        return joinedBy(
            text('&'),
            pairs.map(([key, item]) => joined([quoted(key, true), text('='), quoted(item, true)])),
        );
    }),
    wordcount: takes('', (value) => BigInt((str(value).string.match(/[\p{L}\p{N}_\p{M}]+/gu) ?? []).length)),
    wordwrap: takes(
        'width break_long_words wrapstring break_on_hyphens',
        (value, width = 79n, breakLong = true, by = null) => {
            const lines = splitLines(needText(value), false),
                most = Math.max(1, needIndex(width));
            return joinedBy(
                by === null ? text('\n') : needText(by),
                lines.flatMap((line) => wrappedLine(line, most, truth(breakLong))),
            );
        },
    ),
};

const ALIASES = /** @type {Record<string, string>} */ ({
    count: 'length',
    d: 'default',
    e: 'escape',
    forceescape: 'escape',
});

/** @param {string} name */
export const hasFilter = (name) => Object.hasOwn(FILTERS, ALIASES[name] ?? name) || Object.hasOwn(PASSING, name);

/**
 * @param {string} name
 * @param {Value} value
 * @param {Value[]} args
 * @param {Map<string, Value>} named
 * @returns {Value}
 */
export function filtered(name, value, args, named) {
    if (Object.hasOwn(PASSING, name)) return PASSING[name](value, args, named);
    const known = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
    return Object.hasOwn(FILTERS, known)
        ? apply(name, FILTERS[known], [value], args, named)
        : fail(`there is no filter ${name}`);
}
