/**
 * Text that is safe to print on a terminal. A text from a file, a server or a model may hold escape sequences, which
 * can make a terminal show, hide or do other things. Control characters become "?", as in the core's errors.
 */

/** Control characters except tab and line feed. Terminals obey some of those above 127, too. */
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Characters that would break a line, or change the order in which it is shown. */
const BREAKS = /[\t\n\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Text of any length, such as an answer. Carriage returns are dropped. @param {string} text */
export const plain = (text) => text.replace(/\r/g, '').replace(CONTROLS, '?');

/** Text for a place within a line, such as a model's name. @param {string} text */
export const oneLine = (text) => plain(text).replace(BREAKS, '?');
