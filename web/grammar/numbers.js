/**
 * Ranges of numbers, digit by digit. Numbers have at most 15 digits: so many a double holds exactly, and a text that is
 * below a bound is still below it when it was parsed.
 */
import { all, any, EMPTY, isEmpty, isNever, maybe, NEVER, oneOf, rule, text, times } from './expressions.js';

/** @typedef {import('./expressions.js').Expression} Expression */

export const DIGITS = 15;
/** The largest integer. */
export const MOST = 10 ** DIGITS - 1;

const DIGIT = oneOf('0123456789');
/** @param {number} first @param {number} last */
const digit = (first, last) => (first > last ? NEVER : oneOf('0123456789'.slice(first, last + 1)));

/**
 * Numbers of as many digits as both bounds have.
 * @param {string} low
 * @param {string} high
 * @returns {Expression}
 */
function sameLength(low, high) {
    const n = low.length;
    if (/^0*$/.test(low) && /^9*$/.test(high)) return times(DIGIT, n, n);
    const [a, b] = [Number(low[0]), Number(high[0])],
        [lows, highs] = [low.slice(1), high.slice(1)];
    if (a === b) return all(low[0], sameLength(lows, highs));
    const aWhole = /^0*$/.test(lows),
        bWhole = /^9*$/.test(highs);
    return any(
        aWhole ? NEVER : all(low[0], sameLength(lows, '9'.repeat(n - 1))),
        all(digit(aWhole ? a : a + 1, bWhole ? b : b - 1), times(DIGIT, n - 1, n - 1)),
        bWhole ? NEVER : all(high[0], sameLength('0'.repeat(n - 1), highs)),
    );
}

/** Integers from low to high, both at least 0. @param {number} low @param {number} high @returns {Expression} */
function natural(low, high) {
    if (low > high) return NEVER;
    if (low === 0) return any('0', natural(1, high));
    const [shortest, longest] = [String(low).length, String(high).length],
        /** @type {Expression[]} */ parts = [];
    const whole = { first: shortest, last: longest }; // lengths of which all numbers are in the range
    if (low > 10 ** (shortest - 1)) {
        whole.first++;
        parts.push(sameLength(String(low), String(Math.min(high, 10 ** shortest - 1))));
    }
    const last = high < 10 ** longest - 1 && whole.first <= longest;
    if (last) whole.last--;
    if (whole.first <= whole.last) parts.push(all(digit(1, 9), times(DIGIT, whole.first - 1, whole.last - 1)));
    if (last) parts.push(sameLength(`1${'0'.repeat(longest - 1)}`, String(high)));
    return any(...parts);
}

/** @param {Expression} magnitude */
const negative = (magnitude) => (isNever(magnitude) ? NEVER : all('-', magnitude));

/**
 * Integers from low to high.
 * @param {number} low
 * @param {number} high
 * @returns {Expression}
 */
export function integers(low, high) {
    const [a, b] = [Math.max(low, -MOST), Math.min(high, MOST)];
    if (a === -MOST && b === MOST) return rule('integer');
    return any(negative(natural(Math.max(1, -b), -a)), natural(Math.max(0, a), b));
}

/**
 * Integers that are multiples of a divisor of 1000, told by their last digits.
 * @param {number} divisor
 * @param {number} low 0 or less
 * @returns {Expression | undefined} undefined: of another number
 */
export function multiples(divisor, low) {
    if (1000 % divisor !== 0) return;
    const places = [1, 2, 3].find((n) => 10 ** n % divisor === 0) ?? 3,
        /** @type {Expression[]} */ short = [],
        /** @type {Expression[]} */ endings = [];
    for (let n = 0; n < 10 ** places; n += divisor) {
        if (n > 0) short.push(text(String(n)));
        endings.push(text(String(n).padStart(places, '0')));
    }
    const positive = any(...short, all(digit(1, 9), times(DIGIT, 0, DIGITS - 1 - places), any(...endings)));
    return any('0', low < 0 ? all(maybe(text('-')), positive) : positive);
}

/**
 * @typedef {{ value: number, open: boolean }} Bound open: the value itself is not within
 */

/**
 * A number's digits before and after the point.
 * @param {number} value 0 or more
 * @returns {[string, string]}
 */
function decimal(value) {
    const [, whole, fraction = '', exponent = '0'] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [],
        shift = Number(exponent);
    if (shift >= 0) return [whole + fraction.padEnd(shift, '0').slice(0, shift), fraction.slice(shift)];
    return ['0', `${'0'.repeat(-shift - whole.length)}${whole}${fraction}`];
}

/** @param {string} digits */
const isZero = (digits) => /^0*$/.test(digits);

/**
 * At most n digits of a fraction that lie between those of two bounds.
 * @param {string | null} low null: no bound
 * @param {boolean} lowOpen
 * @param {string | null} high
 * @param {boolean} highOpen
 * @param {number} n
 * @returns {Expression}
 */
function fraction(low, lowOpen, high, highOpen, n) {
    if (low !== null && !lowOpen && isZero(low)) return fraction(null, false, high, highOpen, n);
    if (low === null && high === null) return times(DIGIT, 0, n);
    if (high !== null && isZero(high)) return highOpen || low !== null ? NEVER : EMPTY;
    if (low !== null && isZero(low) && high === null)
        // above 0
        return n === 0 ? NEVER : all(times(text('0'), 0, n - 1), digit(1, 9), times(DIGIT, 0, n - 1));
    /** @type {Expression[]} */
    const parts = [];
    if (n > 0) {
        const [a, b] = [low === null ? 0 : Number(low[0] ?? 0), high === null ? 9 : Number(high[0] ?? 0)],
            [lows, highs] = [low?.slice(1) ?? null, high?.slice(1) ?? null];
        if (a === b) parts.push(all(String(a), fraction(lows, lowOpen, highs, highOpen, n - 1)));
        else {
            const [first, last] = [low === null ? a : a + 1, high === null ? b : b - 1];
            if (low !== null && a < b) parts.push(all(String(a), fraction(lows, lowOpen, null, false, n - 1)));
            parts.push(all(digit(first, last), times(DIGIT, 0, n - 1)));
            if (high !== null && a < b) parts.push(all(String(b), fraction(null, false, highs, highOpen, n - 1)));
        }
    }
    const some = any(...parts.filter((part) => !isNever(part)));
    return low === null ? maybe(some) : some;
}

/** A fraction with its point, or none at all.
 * @param {string | null} low @param {boolean} lowOpen @param {string | null} high @param {boolean} highOpen
 * @param {number} n @returns {Expression} */
function fractions(low, lowOpen, high, highOpen, n) {
    const some = fraction(low, lowOpen, high, highOpen, n);
    if (isNever(some)) return NEVER;
    const begun = n > 0 ? all('.', atLeastOne(some)) : NEVER;
    return isOptional(some) ? maybe(begun) : begun;
}

/** @param {Expression} some */
const isOptional = (some) => isEmpty(some) || (some.is === 'times' && some.min === 0);

/** What an optional expression is if it is there. @param {Expression} some @returns {Expression} */
function atLeastOne(some) {
    if (isEmpty(some)) return NEVER;
    return some.is === 'times' && some.min === 0 ? times(some.part, 1, some.max) : some;
}

/**
 * Numbers from low to high, both at least 0, without an exponent.
 * @param {Bound} low
 * @param {Bound} high
 * @returns {Expression}
 */
function positive(low, high) {
    if (low.value > high.value || (low.value === high.value && (low.open || high.open))) return NEVER;
    const [wholeLow, low15] = decimal(low.value),
        unbounded = high.value > MOST,
        [wholeHigh, high15] = unbounded ? [String(MOST), null] : decimal(high.value),
        digitsLow = DIGITS - wholeLow.length,
        digitsHigh = unbounded ? DIGITS : DIGITS - wholeHigh.length;
    if (wholeLow.length > DIGITS) return NEVER;
    if (wholeLow === wholeHigh)
        return all(wholeLow, fractions(low15, low.open, high15, high.open, Math.min(digitsLow, digitsHigh)));
    return any(
        all(wholeLow, fractions(low15, low.open, null, false, digitsLow)),
        all(natural(Number(wholeLow) + 1, Number(wholeHigh) - 1), fractions(null, false, null, false, digitsHigh)),
        all(wholeHigh, fractions(null, false, high15, high.open, digitsHigh)),
    );
}

/**
 * Numbers from low to high.
 * @param {Bound} low
 * @param {Bound} high
 * @returns {Expression}
 */
export function numbers(low, high) {
    if (low.value === -Infinity && high.value === Infinity) return rule('number');
    const below =
        low.value >= 0
            ? NEVER
            : positive(high.value >= 0 ? { value: 0, open: true } : { value: -high.value, open: high.open }, {
                  value: -low.value,
                  open: low.open,
              });
    return any(
        negative(below),
        high.value < 0 ? NEVER : positive(low.value >= 0 ? low : { value: 0, open: false }, high),
    );
}
