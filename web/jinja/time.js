/** Python's strftime, in the C locale, of local time. */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
    'January',
    'February',
    'March',
    'April',
    'May',
    'June',
    'July',
    'August',
    'September',
    'October',
    'November',
    'December',
];

/** Days since the year began. @param {Date} d */
const dayOfYear = (d) =>
    Math.round((Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) - Date.UTC(d.getFullYear(), 0, 1)) / 864e5);

/** ISO 8601: the year and the number of the week. @param {Date} d */
function isoWeek(d) {
    const thursday = new Date(d.getFullYear(), d.getMonth(), d.getDate() + 3 - ((d.getDay() + 6) % 7));
    return { year: thursday.getFullYear(), week: Math.floor(dayOfYear(thursday) / 7) + 1 };
}

/**
 * What each letter stands for: a number and how many digits it has, or a text.
 * @type {Record<string, (d: Date) => [number, number, string?] | string>}
 */
const CODES = {
    a: (d) => DAYS[d.getDay()].slice(0, 3),
    A: (d) => DAYS[d.getDay()],
    b: (d) => MONTHS[d.getMonth()].slice(0, 3),
    B: (d) => MONTHS[d.getMonth()],
    h: (d) => MONTHS[d.getMonth()].slice(0, 3),
    c: () => '%a %b %e %H:%M:%S %Y',
    D: () => '%m/%d/%y',
    F: () => '%Y-%m-%d',
    r: () => '%I:%M:%S %p',
    R: () => '%H:%M',
    T: () => '%H:%M:%S',
    x: () => '%m/%d/%y',
    X: () => '%H:%M:%S',
    C: (d) => [Math.floor(d.getFullYear() / 100), 2],
    d: (d) => [d.getDate(), 2],
    e: (d) => [d.getDate(), 2, ' '],
    f: (d) => [d.getMilliseconds() * 1000, 6],
    G: (d) => [isoWeek(d).year, 1],
    g: (d) => [isoWeek(d).year % 100, 2],
    H: (d) => [d.getHours(), 2],
    I: (d) => [((d.getHours() + 11) % 12) + 1, 2],
    j: (d) => [dayOfYear(d) + 1, 3],
    k: (d) => [d.getHours(), 2, ' '],
    l: (d) => [((d.getHours() + 11) % 12) + 1, 2, ' '],
    M: (d) => [d.getMinutes(), 2],
    m: (d) => [d.getMonth() + 1, 2],
    n: () => '\n',
    p: (d) => (d.getHours() < 12 ? 'AM' : 'PM'),
    P: (d) => (d.getHours() < 12 ? 'am' : 'pm'),
    S: (d) => [d.getSeconds(), 2],
    s: (d) => [Math.floor(d.getTime() / 1000), 1],
    t: () => '\t',
    U: (d) => [Math.floor((dayOfYear(d) + 7 - d.getDay()) / 7), 2],
    u: (d) => [d.getDay() || 7, 1],
    V: (d) => [isoWeek(d).week, 2],
    W: (d) => [Math.floor((dayOfYear(d) + 7 - ((d.getDay() + 6) % 7)) / 7), 2],
    w: (d) => [d.getDay(), 1],
    Y: (d) => [d.getFullYear(), 1],
    y: (d) => [d.getFullYear() % 100, 2],
    Z: () => '',
    z: () => '',
    '%': () => '%',
};

/**
 * @param {string} format
 * @param {Date} [date]
 * @returns {string}
 */
export function strftime(format, date = new Date()) {
    return format.replace(
        /%([-_0^#]?)([A-Za-z%])/g,
        (whole, /** @type {string} */ flag, /** @type {string} */ letter) => {
            const made = CODES[letter]?.(date);
            if (made === undefined) return whole;
            if (typeof made === 'string') {
                const string = letter !== '%' && made.includes('%') ? strftime(made, date) : made;
                return flag === '^' ? string.toUpperCase() : string;
            }
            const [number, digits, pad = '0'] = made;
            return flag === '-'
                ? String(number)
                : String(number).padStart(digits, flag === '_' ? ' ' : flag === '0' ? '0' : pad);
        },
    );
}
