/**
 * The options of trainTokenizer(), which are flags of `nibble tokenizer`, too (checks.js has the rules of such
 * tables).
 */

/**
 * @typedef {Required<Pick<import('./index.d.ts').TokenizerOptions, 'vocabulary' | 'minFrequency' | 'pattern' |
 *     'lines'>> & Pick<import('./index.d.ts').TokenizerOptions, 'special'>} CheckedTokenizer
 */

/** The number of bytes. Each is a token. */
const BYTES = 256;

/** @type {import('./checks.js').Table<CheckedTokenizer>} */
export const TOKENIZER_OPTIONS = {
    vocabulary: {
        flag: 'vocabulary',
        type: 'integer',
        min: BYTES,
        max: 1 << 20,
        value: 'N',
        help: 'tokens of the vocabulary, including the 256 bytes and the special tokens',
    },
    special: {
        flag: 'special',
        type: 'texts',
        value: 'TEXT',
        help:
            'a special token, such as <|endoftext|> (may be given several times). The special tokens get the first ' +
            'ids, in the order in which they are given',
    },
    minFrequency: {
        flag: 'min-frequency',
        type: 'integer',
        min: 0,
        max: 2 ** 31 - 1,
        default: 0,
        value: 'N',
        help: 'merge only pairs that are in the text at least N times',
    },
    pattern: {
        flag: 'pattern',
        type: 'choice',
        choices: ['gpt-2', 'llama-3'],
        default: 'gpt-2',
        value: 'NAME',
        help: 'the regular expression that cuts a text into words',
    },
    lines: {
        flag: 'lines',
        type: 'switch',
        default: false,
        help: 'treat each line as a text of its own, as the tokenizers library does when it reads files',
    },
};
