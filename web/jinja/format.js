/** Python's two ways to format: '%s' % x, and '{}'.format(x). */
import { Builder, checkLength, joined, Text, text } from './text.js';
import { Dict, describeValue, fail, floatText, isInteger, isNumber, needIndex, repr, str, Tuple } from './values.js';

/** @typedef {import('./values.js').Value} Value */
/**
 * @typedef {{ fill: string, align: string, sign: string, alternate: boolean, width: number, grouping: string,
 *     precision: number | null, type: string }} Spec
 */

/** @param {Text} template @param {Value} values a tuple, a dict, or the only value */
export function percent(template, values) {
    const out = new Builder(),
        { string } = template;
    const queue = values instanceof Tuple ? [...values] : [values];
    let at = 0,
        named = false;
    for (const found of string.matchAll(/%(?:\(([^)]{0,200})\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?[hlL]?(.)?/gs)) {
        out.push(template.slice(at, found.index));
        at = found.index + found[0].length;
        const [, key, flags, width, precision, type] = found;
        if (type === '%') {
            out.push(text('%'));
            continue;
        }
        if (type === undefined) fail('a format ends after %');
        const next = () => (queue.length > 0 ? queue.shift() : fail('there are too few values to format'));
        const size = (/** @type {string | undefined} */ given) =>
            given === '*' ? needIndex(next()) : given === undefined ? null : Number(given);
        const spec = {
            fill: flags.includes('0') && 'diouxXeEfFgG'.includes(type) && !flags.includes('-') ? '0' : ' ',
            align: flags.includes('-') ? '<' : '',
            sign: flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '-',
            alternate: flags.includes('#'),
            width: size(width) ?? 0,
            grouping: '',
            precision: size(precision),
            type,
        };
        named ||= key !== undefined;
        const value =
            key === undefined
                ? next()
                : values instanceof Dict
                  ? (values.get(text(key)) ?? fail(`there is no ${key} to format`))
                  : fail('%(name) wants a dict');
        out.push(padded(percentBody(value, spec), { ...spec, align: spec.align || (spec.fill === '0' ? '=' : '>') }));
    }
    if (queue.length > 0 && !named && !(values instanceof Dict && string.includes('%') === false))
        fail('not all values were used by the format');
    out.push(template.slice(at));
    return out.text(template.safe);
}

/** @param {Value} value @param {Spec} spec */
function percentBody(value, spec) {
    const cut = (/** @type {Text} */ whole) =>
        spec.precision === null ? whole : whole.slice(0, whole.unitAt(Math.min(spec.precision, whole.length)));
    switch (spec.type) {
        case 's':
            return cut(str(value));
        case 'r':
        case 'a':
            return cut(repr(value));
        case 'c':
            return value instanceof Text ? value : text(String.fromCodePoint(needIndex(value)));
        case 'd':
        case 'i':
        case 'u':
            if (typeof value === 'number') return number(BigInt(Math.trunc(value)), { ...spec, type: 'd' });
            return number(value, { ...spec, type: 'd' });
        default:
            return 'oxXeEfFgG'.includes(spec.type) ? number(value, spec) : fail(`%${spec.type} is no format`);
    }
}

/**
 * A number without padding.
 * @param {Value} value
 * @param {Spec} spec
 */
function number(value, { type, precision, sign, alternate, grouping }) {
    if (!isNumber(value)) return fail(`${describeValue(value)} cannot be formatted as a number`);
    const negative = Number(value) < 0 || Object.is(value, -0);
    const size =
        isInteger(value) && 'bcdoxXn'.includes(type || 'd')
            ? whole(BigInt(value), type || 'd', alternate)
            : fraction(Math.abs(Number(value)), type, precision);
    const [, prefix, digits, rest] = /** @type {RegExpExecArray} */ (/^(0[box])?([\da-z]*)(.*)$/is.exec(size));
    const grouped = grouping === '' ? digits : inGroups(digits, 'boxX'.includes(type || 'd') ? 4 : 3).join(grouping);
    return text(`${negative ? '-' : sign === '-' ? '' : sign}${prefix ?? ''}${grouped}${rest}`);
}

/** @param {string} digits @param {number} size of a group; the first may be smaller */
function inGroups(digits, size) {
    const groups = [];
    for (let end = digits.length; end > 0; end -= size) groups.unshift(digits.slice(Math.max(0, end - size), end));
    return groups;
}

/** @param {bigint} value @param {string} type @param {boolean} alternate */
function whole(value, type, alternate) {
    const base = { b: 2, o: 8, x: 16, X: 16 }[type] ?? 10;
    const digits = (value < 0n ? -value : value).toString(base);
    const shown = alternate && base !== 10 ? `0${type}${digits}` : digits;
    return type === 'X' ? shown.toUpperCase() : shown;
}

/** @param {number} value @param {string} type @param {number | null} precision */
function fraction(value, type, precision) {
    checkLength(precision ?? 0);
    const places = Math.min(precision ?? 6, 100);
    const exponent = (/** @type {string} */ e) => e.replace(/e([-+])(\d)$/, 'e$10$2');
    if (!Number.isFinite(value)) return floatText(value);
    switch (type) {
        case 'f':
        case 'F':
            return value.toFixed(places);
        case 'e':
            return exponent(value.toExponential(places));
        case 'E':
            return exponent(value.toExponential(places)).toUpperCase();
        case '%':
            return `${(value * 100).toFixed(places)}%`;
        case '':
            if (precision === null) return floatText(value);
    }
    const digits = Math.max(1, places),
        power = value === 0 ? 0 : Number(value.toExponential(digits - 1).split('e')[1]);
    const scientific = power < -4 || power >= digits;
    const shown = scientific ? value.toExponential(digits - 1) : value.toFixed(Math.max(0, digits - 1 - power));
    const trimmed = shown.includes('.') ? shown.replace(/\.?0+(?=e|$)/, '') : shown;
    const result = exponent(trimmed) + (type === '' && !scientific && !trimmed.includes('.') ? '.0' : '');
    return type === 'G' ? result.toUpperCase() : result;
}

/** @param {Text} body @param {Spec} spec */
function padded(body, { fill, align, width }) {
    checkLength(width);
    const room = Math.max(0, width - body.length);
    const pad = (/** @type {number} */ n) => text(fill.repeat(n));
    if (room === 0) return body;
    if (align === '=') {
        const sign = /^[-+ ]?(?:0[box])?/i.exec(body.string)?.[0].length ?? 0;
        return joined([body.slice(0, sign), pad(room), body.slice(sign)]);
    }
    const left = align === '<' ? 0 : align === '^' ? room >> 1 : room;
    return joined([pad(left), body, pad(room - left)]);
}

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([_,])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/su;

/** Python's format(value, spec). @param {Value} value @param {string} given */
function formatted(value, given) {
    if (given === '') return str(value);
    const found = SPEC.exec(given);
    if (!found) return fail(`${JSON.stringify(given)} is no format`);
    const [, fill, align, sign = '-', alternate, zero, width, grouping = '', precision, type = ''] = found;
    const spec = {
        fill: fill ?? (zero ? '0' : ' '),
        align: align ?? (zero ? '=' : ''),
        sign,
        alternate: Boolean(alternate),
        width: Number(width ?? 0),
        grouping,
        precision: precision === undefined ? null : Number(precision),
        type,
    };
    if (isNumber(value) && (typeof value !== 'boolean' || type !== ''))
        return padded(number(value, spec), { ...spec, align: spec.align || '>' });
    if (type !== '' && type !== 's') return fail(`${describeValue(value)} cannot be formatted with ${type}`);
    const whole = str(value);
    return padded(
        spec.precision === null ? whole : whole.slice(0, whole.unitAt(Math.min(spec.precision, whole.length))),
        { ...spec, align: spec.align || '<' },
    );
}

/**
 * Python's str.format.
 * @param {Text} template
 * @param {Value[]} args
 * @param {Map<string, Value>} named
 * @param {(object: Value, key: Value, attribute: boolean) => Value} lookUp
 */
export function braces(template, args, named, lookUp) {
    const out = new Builder(),
        { string } = template;
    let automatic = 0;
    const field = (/** @type {string} */ inner, /** @type {number} */ depth) => {
        const [, path, conversion, spec = ''] =
            /^([^!:]*)(?:!([rsa]))?(?::(.*))?$/s.exec(inner) ?? fail(`{${inner}} is no format`);
        const [, first, rest] = /** @type {RegExpExecArray} */ (/^([^.[]*)(.*)$/s.exec(path));
        let value = first === '' ? args[automatic++] : /^\d+$/.test(first) ? args[Number(first)] : named.get(first);
        if (value === undefined) fail(`there is no ${first === '' ? 'further value' : first} to format`);
        for (const [, attribute, key] of rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g))
            value = lookUp(
                value,
                attribute !== undefined ? text(attribute) : /^\d+$/.test(key) ? BigInt(key) : text(key),
                attribute !== undefined,
            );
        /** @type {string} */
        const whole =
            depth > 0
                ? spec
                : spec.replace(/\{([^{}]*)\}/g, (_, /** @type {string} */ within) => field(within, depth + 1).string);
        return formatted(
            conversion === 'r' || conversion === 'a' ? repr(value) : conversion === 's' ? str(value) : value,
            whole,
        );
    };
    let at = 0;
    for (const found of string.matchAll(/\{\{|\}\}|\{((?:[^{}]|\{[^{}]*\})*)\}|[{}]/g)) {
        out.push(template.slice(at, found.index));
        at = found.index + found[0].length;
        if (found[1] !== undefined) out.push(field(found[1], 0));
        else if (found[0].length === 2) out.push(template.slice(found.index, found.index + 1));
        else fail(`a single ${found[0]} in a format`);
    }
    out.push(template.slice(at));
    return out.text(template.safe);
}
