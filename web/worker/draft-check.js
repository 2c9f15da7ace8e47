/**
 * Whether a draft model fits a model: both must generate, and their vocabularies must be the same. Their headers say
 * that, so it is known before the weights of either are fetched.
 */
import { NibbleError, quoted } from '../errors.js';
import { lookAhead } from '../sources/peek.js';
import { passFirst } from './detokenizer.js';
import { aboutDraft } from './draft.js';
import { stopwatch } from './journal.js';
import { loadModel } from './load-model.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('../sources/open.js').Opened} Opened */

/**
 * Two vocabularies count as the same if one has at most MOST_MISSING tokens more than the other, and if the tokens from
 * FIRST_COMPARED on have the same texts in both. These are llama.cpp's numbers (common/speculative.cpp). The first few
 * tokens are often named differently, as in fine-tunes, and embeddings are padded to different numbers of rows.
 */
const MOST_MISSING = 128,
    FIRST_COMPARED = 5;

/** @param {string} message */
const unsupported = (message) => new NibbleError('NB_ERR_UNSUPPORTED', message);

/** @param {string} message */
const unfit = (message) => unsupported(`the draft model: ${message}`);

export const cannotBeDrafted = () =>
    unsupported(
        'a draft model (draft, --draft) is for a model that generates, and not for one of integers: load this model ' +
            'without it',
    );

/**
 * Reads both headers, and refuses what does not fit.
 * @param {Engine} engine which will have the model
 * @param {Opened} model
 * @param {() => Promise<Opened>} openedDraft called when the model's header is known, which may take long
 * @param {import('./journal.js').Journal} [journal]
 * @returns {Promise<{ model: Opened, draft: Opened }>} the whole files, to be loaded
 */
export async function fitting(engine, model, openedDraft, journal) {
    const time = stopwatch(),
        one = await headerOf(engine, model, journal);
    try {
        if (one.why !== undefined) await refuse(one);
        if (!one.generates) throw cannotBeDrafted();
        const ofDraft = (/** @type {unknown} */ error) => {
            throw aboutDraft(error);
        };
        const draft = await openedDraft(),
            other = await headerOf(engine, draft, journal).catch(ofDraft);
        try {
            if (other.why !== undefined) await refuse(other).catch(ofDraft);
            if (!other.generates)
                throw unfit('it cannot continue a text: give a model that generates, with a tokenizer');
            checkVocabulary(one.engine, other.engine);
        } finally {
            other.free();
        }
        journal?.(`draft: its header fits the model, ${time()}`);
        return { model: one.rest, draft: other.rest };
    } finally {
        one.free();
    }
}

/**
 * @param {Engine} engine
 * @param {Opened} opened
 * @param {import('./journal.js').Journal} [journal]
 */
async function headerOf(engine, opened, journal) {
    const header = engine.beside();
    let rest = opened;
    const first = {
        ...opened,
        into: async (/** @type {import('../sources/open.js').Sink} */ sink) => {
            rest = await lookAhead(opened, sink);
        },
    };
    const log = journal && ((/** @type {string} */ line) => journal(`header: ${line}`));
    header.model = await loadModel(header, first, { headerOnly: true }, () => {}, log);
    header.description = header.describe();
    const { unsupported: why, tokenizer } = header.description;
    return {
        engine: header,
        rest,
        /** Why the model cannot run. */
        why,
        generates: header.goesOn() && tokenizer !== undefined,
        free: () => header.core.exports.nb_model_free(header.model),
    };
}

/** Of a model that cannot run: loading refuses it, with the code of its error. @param {Awaited<ReturnType<typeof
 * headerOf>>} header */
async function refuse({ engine, rest, why }) {
    await loadModel(engine.beside(), rest, {}, () => {});
    throw unsupported(String(why));
}

/**
 * @param {Engine} main
 * @param {Engine} draft
 */
export function checkVocabulary(main, draft) {
    const sizes = [main, draft].map(({ description }) => description.tokenizer?.size ?? 0);
    if (Math.abs(sizes[0] - sizes[1]) > MOST_MISSING)
        throw unfit(
            `its vocabulary has ${sizes[1]} tokens, and that of the model has ${sizes[0]}: both must have the same ` +
                'vocabulary, as models of one family mostly do. Give another draft, or none',
        );
    const decoders = [main.decoder(true), draft.decoder(true)];
    try {
        for (const [i, each] of decoders.entries()) passFirst(each, sizes[i]);
        for (let token = FIRST_COMPARED; token < Math.min(...sizes); token++)
            if (!isSame(decoders, token)) {
                const [own, other] = decoders.map((each) => quoted(new TextDecoder().decode(each.bytes(token))));
                throw unfit(
                    `its token ${token} is ${other}, and that of the model is ${own}: both must have the same ` +
                        'vocabulary, as models of one family mostly do. Give another draft, or none',
                );
            }
    } finally {
        for (const each of decoders) each.free();
    }
}

/** Whether a token has the same bytes in both. @param {import('./detokenizer.js').Detokenizer[]} decoders
 * @param {number} token */
function isSame([one, other], token) {
    const a = one.bytes(token), // a copy: the other one may enlarge the memory, which ends views of it
        b = other.view(token);
    return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
