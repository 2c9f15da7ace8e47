// What grammars cost: the masks of a vocabulary as large as Gemma's, and generating with a grammar.
//     node tests/bench/grammar.js [MODEL]
// Without a model only the first is measured. Its vocabulary has as many tokens as Gemma's (262,144): bytes, words with
// and without a space before them, numbers, and runs of punctuation, all made by a formula.
import { load } from '../../web/index.js';
import { moduleOf } from '../support/modules.js';

const JSON_GRAMMAR = String.raw`root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= "-"? ([0-9] | [1-9] [0-9]{0,15}) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws ::= | " " | "\n" [ \t]{0,20}
`;
const TEXT = '{"name": "Ada Lovelace", "born":1815,\n  "tags": ["first", "pro\\u0067rammer", true, {"a":[-1.5e3]}]}';
const TOKENS = 262144,
    ENDS = 8;

/** @param {number[]} times in ms */
const summary = (times) => {
    const sorted = times.toSorted((a, b) => a - b);
    return `median ${sorted[sorted.length >> 1].toFixed(3)} ms, longest ${sorted[sorted.length - 1].toFixed(3)} ms`;
};

function vocabulary() {
    let state = 1;
    const below = (/** @type {number} */ n) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * n);
    };
    const syllables = 'ba de ing ter on al st re men tion lo ki su é ñ ж да 中 文'.split(' '),
        marks = ['"', ',', ':', '{', '}', '[', ']', '\n', ' ', '.', '-', '\\', '(', ')', ';', '='];
    /** @type {Set<string>} */
    const all = new Set();
    while (all.size < TOKENS - 256 - ENDS) {
        const kind = below(20),
            from = kind < 17 ? syllables : marks;
        let text = kind < 9 ? ' ' : '';
        for (let i = 1 + below(kind < 17 ? 5 : 8); i > 0; i--) text += from[below(from.length)];
        all.add(kind === 19 ? String(below(1e4)) : kind === 18 ? ' '.repeat(1 + below(30)) : text);
        if (kind > 17) all.add(text);
    }
    const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
        ends = Array.from({ length: ENDS }, () => new Uint8Array());
    return [...ends, ...bytes, ...[...all].slice(0, TOKENS - 256 - ENDS).map((text) => new TextEncoder().encode(text))];
}

async function measureMasks() {
    const { core, memory } = await moduleOf('grammar'),
        error = core.nb_alloc(512) >>> 0,
        tokens = vocabulary(),
        bytes = Buffer.concat(tokens);
    const put = (/** @type {Uint8Array} */ from) => {
        const at = core.nb_alloc(from.length + 1) >>> 0;
        new Uint8Array(memory.buffer, at, from.length).set(from);
        return at;
    };
    const lengths = new Uint8Array(Uint32Array.from(tokens, ({ length }) => length).buffer),
        [text, lengthsAt, ends] = [put(bytes), put(lengths), put(new Uint8Array(Uint32Array.of(0).buffer))];
    let began = performance.now();
    const lexicon = core.nb_lexicon_new(text, bytes.length, lengthsAt, tokens.length, ends, 1, error) >>> 0;
    console.log(`sorting ${tokens.length} tokens: ${(performance.now() - began).toFixed(0)} ms`);
    const source = new TextEncoder().encode(JSON_GRAMMAR),
        grammar = core.nb_grammar_new(put(source), source.length, lexicon, error) >>> 0,
        matcher = core.nb_matcher_new(grammar, error) >>> 0,
        mask = core.nb_alloc(tokens.length / 8) >>> 0,
        at = put(new TextEncoder().encode(TEXT)),
        n = new TextEncoder().encode(TEXT).length;
    /** @type {number[][]} */
    const rounds = [];
    for (let round = 0; round < 5; round++) {
        /** @type {number[]} */
        const times = [];
        core.nb_matcher_reset(matcher, error);
        for (let i = 0; i < n; i++) {
            began = performance.now();
            const allowed = core.nb_matcher_mask(matcher, mask, 1, error);
            times.push(performance.now() - began);
            if (allowed <= 0 || core.nb_matcher_take(matcher, at + i, 1, error) !== 1) throw new Error('it must go on');
        }
        rounds.push(times);
    }
    console.log(`masks at ${n} places of JSON, the first time: ${summary(rounds[0])}`);
    console.log(`again: ${summary(rounds.slice(1).flat())}`);
}

/** @param {string} source */
async function measureModel(source) {
    const model = await load(source, { threads: 1 }),
        messages = 'Describe Paris as a JSON object with many keys and long texts.',
        options = { maxTokens: 96, temperature: 0.8, topK: 40, seed: 5 };
    // the same number of tokens each time: the grammar goes on for ever, and so does the plain answer
    const grammar = `${JSON_GRAMMAR.replace('root ::= object', 'root ::= (object "\\n")*')}`;
    /** @type {number[]} */
    const ratios = [];
    for (let i = 0; i < 9; i++) {
        const held = await model.chat(messages, { ...options, grammar, ignoreEnd: true }),
            free = await model.chat(messages, { ...options, ignoreEnd: true });
        const rate = (/** @type {import('../../web/index.d.ts').Result} */ result) =>
            result.timings.generateTokensPerSecond ?? Number.NaN;
        if (held.tokens.length === free.tokens.length && i > 0) ratios.push(rate(held) / rate(free));
    }
    ratios.sort((a, b) => a - b);
    console.log(`generating with a grammar and without: ${ratios.map((ratio) => ratio.toFixed(3)).join(' ')}`);
    await model.dispose();
}

await measureMasks();
if (process.argv[2]) await measureModel(process.argv[2]);
