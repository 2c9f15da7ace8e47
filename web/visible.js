/**
 * Text that a terminal may show. What comes from a file, a server or a model may hold escape sequences, by which a
 * terminal can be made to show, hide or do other things: they are shown as "?", as the core's errors do.
 */

/** Control characters but tab and line feed; terminals obey some of those above 127, too. */
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f]/g;

/** What would break a line, or show it in another order than it has. */
const BREAKS = /[\t\n\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Text of any length, such as an answer. A carriage return is a part of a line's end, or nothing. @param {string}
 * text */
export const plain = (text) => text.replace(/\r/g, '').replace(CONTROLS, '?');

/** Text for a place within a line, such as a model's name. @param {string} text */
export const oneLine = (text) => plain(text).replace(BREAKS, '?');
