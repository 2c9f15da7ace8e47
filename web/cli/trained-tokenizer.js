/** Tokenizers that commands train: their files, and how `nibble train` trains one on its own data. */
import { trainTokenizer } from '../index.js';
import { UsageError } from './usage.js';

/** @param {string | undefined} end what --end says */
export function checkEnd(end) {
    if (end === '') throw new UsageError('--end must be a token, such as <|endoftext|>, and not empty');
}

/**
 * The files of a tokenizer that is trained on the data. The same data gives the same tokenizer, so a run with
 * `--resume` trains it again.
 * @param {number} vocabulary
 * @param {string | undefined} end the token that begins and ends a text; undefined: there is none
 * @param {{ data: string[], signal?: import('../index.d.ts').SignalLike, debug?:
 *     import('../index.d.ts').LoadOptions['debug'] }} options
 */
export async function trainedTokenizer(vocabulary, end, { data, signal, debug }) {
    // the end token is one token wherever the data has its name, so its letters need no merges
    const texts = data.map((text, i) => new File([end ? text.replaceAll(end, '\n') : text], `${i}.txt`)),
        { json } = await trainTokenizer(texts, { vocabulary, special: end ? [end] : [], signal, debug });
    return [
        new File([withEnd(json, end)], 'tokenizer.json'),
        new File([tokenizerConfig(end)], 'tokenizer_config.json'),
    ];
}

/**
 * A tokenizer_config.json, from which transformers' AutoTokenizer takes the class, and the token that ends a text.
 * @param {string | undefined} end
 */
export const tokenizerConfig = (end) =>
    `${JSON.stringify(
        {
            tokenizer_class: 'PreTrainedTokenizerFast',
            clean_up_tokenization_spaces: false,
            ...(end !== undefined && { bos_token: end, eos_token: end }),
        },
        null,
        2,
    )}\n`;

/**
 * A tokenizer.json that puts the token before each text.
 * @param {string} json one without a post_processor
 * @param {string | undefined} end the first token of its vocabulary
 */
export const withEnd = (json, end) =>
    end === undefined
        ? json
        : json.replace(
              '"post_processor": null',
              () => `"post_processor": ${JSON.stringify(before(end), null, 2).replaceAll('\n', '\n  ')}`,
          );

/**
 * The post_processor of a tokenizer.json that puts a token before each text.
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
