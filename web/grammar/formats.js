/**
 * The formats of strings, as patterns. Where a standard leaves much open, a pattern takes what is usual: all its texts
 * are of the format, but not all texts of the format match it.
 */

const LEAP = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)';
const DATE =
    '(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)' +
    `|02-(?:0[1-9]|1[0-9]|2[0-8]))|${LEAP}-02-29)`;
const CLOCK = '(?:[01][0-9]|2[0-3]):[0-5][0-9]';
const BYTE = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const GROUP = '[0-9A-Fa-f]{1,4}';

/** IPv6 addresses with "::", by the number of groups before it. */
const GAPS = [0, 1, 2, 3, 4, 5, 6].map((n) => {
    const before = n === 0 ? '' : `${GROUP}(?::${GROUP}){${n - 1}}`,
        after = 6 - n;
    return `${before}::${after > 0 ? `(?:${GROUP}(?::${GROUP}){0,${after - 1}})?` : ''}`;
});

/**
 * @param {(n: number) => string} some a quantifier: once, or more often, such as at most n times
 * @param {(n: number) => string} more the same, or not at all
 * @returns {Record<string, string>}
 */
function patterns(some, more) {
    const digits = `[0-9]${some(4)}`,
        time = `${CLOCK}:[0-5][0-9](?:\\.[0-9]${some(9)})?(?:Z|[+-]${CLOCK})`,
        label = `[A-Za-z0-9]${some(16)}(?:-[A-Za-z0-9]${some(16)})${more(2)}`, // "--" has a meaning in them
        host = `(?:${label}\\.)${some(3)}[A-Za-z]{2,10}`,
        span = `T(?:${digits}H(?:${digits}M(?:${digits}S)?)?|${digits}M(?:${digits}S)?|${digits}S)`;
    const all = {
        date: DATE,
        time,
        'date-time': `${DATE}T${time}`,
        duration:
            `P(?:${digits}W|(?:${digits}Y(?:${digits}M(?:${digits}D)?)?|${digits}M(?:${digits}D)?|${digits}D)` +
            `(?:${span})?|${span})`,
        uuid: '[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[1-8][0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}',
        email: `[A-Za-z0-9_+-]${some(20)}(?:\\.[A-Za-z0-9_+-]${some(20)})${more(2)}@${host}`,
        hostname: `${label}(?:\\.${label})${more(3)}`,
        ipv4: `${BYTE}(?:\\.${BYTE}){3}`,
        ipv6: `(?:${GROUP}(?::${GROUP}){7}|${GAPS.join('|')})`,
        uri:
            `(?:https?|ftp|wss?)://(?:${host}|localhost|${BYTE}(?:\\.${BYTE}){3})(?::[1-9][0-9]{0,3})?` +
            `(?:/[A-Za-z0-9._~+-]${more(40)})${more(8)}(?:\\?[A-Za-z0-9._~+=&-]${more(80)})?` +
            `(?:#[A-Za-z0-9._~+=-]${more(40)})?`,
    };
    return Object.fromEntries(Object.entries(all).map(([name, source]) => [name, `^(?:${source})$`]));
}

/** What an answer may have: no longer than is usual, as a small model may not find an end. */
export const FORMATS = patterns(
    (n) => `{1,${n}}`,
    (n) => `{0,${n}}`,
);

/** The same of any length, to compare other patterns and values with. */
export const WHOLE_FORMATS = patterns(
    () => '+',
    () => '*',
);
