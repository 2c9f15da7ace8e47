/** The tokenizer of a new model that `nibble train` learns from the data itself. */
import { trainTokenizer } from '../index.js';

/**
 * Files of a tokenizer. The same data gives the same tokenizer, so a run can go on later.
 * @param {number} vocabulary
 * @param {string | undefined} end the token that begins and ends a text, if there shall be one
 * @param {{ data: string[], signal?: import('../index.d.ts').SignalLike, debug?:
 *     import('../index.d.ts').LoadOptions['debug'] }} options
 */
export async function learnedTokenizer(vocabulary, end, { data, signal, debug }) {
    // nothing is learned from the letters of the token itself, as texts will have the token in their place
    const texts = data.map((text, i) => new File([end ? text.replaceAll(end, '\n') : text], `${i}.txt`)),
        { json } = await trainTokenizer(texts, { vocabulary, special: end ? [end] : [], signal, debug });
    if (!end) return [fileOf('tokenizer.json', json)];
    return [
        fileOf('tokenizer.json', JSON.stringify({ ...JSON.parse(json), post_processor: before(end) })),
        fileOf('tokenizer_config.json', JSON.stringify({ bos_token: end, eos_token: end })),
    ];
}

/** @param {string} name @param {string} text */
const fileOf = (name, text) => new File([text], name);

/**
 * What puts a token before each text, as a tokenizer.json says it.
 * @param {string} token the first of the vocabulary
 */
function before(token) {
    const special = { SpecialToken: { id: token, type_id: 0 } },
        text = (/** @type {string} */ id) => ({ Sequence: { id, type_id: 0 } });
    return {
        type: 'TemplateProcessing',
        single: [special, text('A')],
        pair: [special, text('A'), special, text('B')],
        special_tokens: { [token]: { id: token, ids: [0], tokens: [token] } },
    };
}
