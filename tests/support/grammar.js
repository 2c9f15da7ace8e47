/** Grammars in tests: nibble-grammar.wasm by itself (src/nibble_grammar.h), without a model. */
import { nb_error } from '../../web/abi.js';
import { moduleOf } from './modules.js';

const { core, memory } = await moduleOf('grammar');
const error = core.nb_alloc(nb_error.size) >>> 0;

/** The message of the last failure. */
function message() {
    const { at } = nb_error.fields.message,
        bytes = new Uint8Array(memory.buffer, error + at, nb_error.size - at);
    return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
}

/** @template T @param {Uint8Array} bytes @param {(address: number, length: number) => T} f */
function borrow(bytes, f) {
    const at = core.nb_alloc(bytes.length + 1) >>> 0;
    new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
    try {
        return f(at, bytes.length);
    } finally {
        core.nb_free(at);
    }
}

const utf8 = (/** @type {string | Uint8Array} */ text) =>
    typeof text === 'string' ? new TextEncoder().encode(text) : text;

/**
 * A grammar in GBNF. matches(): whether a whole text follows it. begins(): whether a text that does so may begin like
 * this. An Error has the module's message.
 * @param {string} text
 */
export function grammarOf(text) {
    const grammar = borrow(utf8(text), (at, n) => core.nb_grammar_new(at, n, 0, error)) >>> 0;
    if (!grammar) throw new Error(message());
    const matcher = core.nb_matcher_new(grammar, error) >>> 0;
    if (!matcher) throw new Error(message());
    const checked = (/** @type {number} */ result) => {
        if (result < 0) throw new Error(message());
        return result;
    };
    const begins = (/** @type {string | Uint8Array} */ text) => {
        checked(core.nb_matcher_reset(matcher, error));
        return checked(borrow(utf8(text), (at, n) => core.nb_matcher_take(matcher, at, n, error))) === 1;
    };
    return {
        begins,
        matches: (/** @type {string | Uint8Array} */ text) => begins(text) && core.nb_matcher_end(matcher) > 0,
        free() {
            core.nb_matcher_free(matcher);
            core.nb_grammar_free(grammar);
        },
    };
}

/** Whether a whole text follows a grammar. @param {string} grammar @param {string | Uint8Array} text */
export function matchesGrammar(grammar, text) {
    const compiled = grammarOf(grammar);
    try {
        return compiled.matches(text);
    } finally {
        compiled.free();
    }
}
