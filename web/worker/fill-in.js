/** Filling in the middle: the prompt of a text that is missing between two others. */
import { NibbleError } from '../errors.js';

/** Ends of the keys of GGUF that have the tokens; the second ones are older. */
const KEYS = {
    prefix: ['fim_pre_token_id', 'prefix_token_id'],
    suffix: ['fim_suf_token_id', 'suffix_token_id'],
    middle: ['fim_mid_token_id', 'middle_token_id'],
};

/** The tokens' names, of models whose files do not have the keys. */
const NAMES = [
    ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'], // Qwen 2.5 Coder, CodeGemma
    ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'], // StarCoder, SantaCoder, Granite Code
    ['<fim-prefix>', '<fim-suffix>', '<fim-middle>'],
    ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'], // DeepSeek Coder
    ['<|code_prefix|>', '<|code_suffix|>', '<|code_middle|>'],
    ['<|prefix|>', '<|suffix|>', '<|middle|>'],
    ['<PRE>', '<SUF>', '<MID>'],
];

/**
 * The tokens before the beginning, before the end, and before the middle.
 * @param {import('./engine.js').Engine} engine
 * @returns {number[] | undefined}
 */
function marksOf(engine) {
    const { metadata = {}, vocabulary = 0 } = engine.description;
    const keyed = Object.values(KEYS).map((names) =>
        names.map((name) => metadata[`tokenizer.ggml.${name}`]).find((token) => typeof token === 'number'),
    );
    if (keyed.every((token) => token !== undefined && token >= 0 && token < vocabulary))
        return /** @type {number[]} */ (keyed);
    for (const names of NAMES) {
        const tokens = names.map((name) => engine.tokenOf(name)).filter((token) => token !== undefined);
        if (tokens.length === names.length) return tokens;
    }
    return undefined;
}

/**
 * The prompt: beginning, end, and then the middle, which the model writes.
 * @param {import('./engine.js').Engine} engine
 * @param {{ prefix: string, suffix: string }} texts
 */
export function fillInPrompt(engine, { prefix, suffix }) {
    const marks = marksOf(engine);
    if (!marks)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            'this model cannot fill in the middle of a text: its vocabulary has no tokens for that, such as ' +
                '<|fim_prefix|>. Models for code mostly have them; or give complete() the beginning alone',
        );
    const [before, behind, middle] = marks;
    return [
        ...engine.beginTokens(),
        before,
        ...engine.tokenize(prefix, 0),
        behind,
        ...engine.tokenize(suffix, 0),
        middle,
    ];
}
