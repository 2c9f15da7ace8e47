/** A query and documents -> scores, by a reranker: an encoder that reads both texts together. */
import { NB_TOKENIZE_BARE, POOLINGS } from '../abi.js';
import { NibbleError } from '../errors.js';
import { partsOf } from './embedding.js';
import { notOfIntegers } from './integer-core.js';
import { Slice } from './pace.js';

/** @typedef {import('./engine.js').Engine} Engine */

/**
 * The score of each document, and how many tokens were read.
 * @param {Engine} engine
 * @param {string} query
 * @param {string[]} documents
 * @param {(done: number) => void} report
 * @param {import('./engine.js').Job} job
 * @returns {Promise<import('../protocol.js').Scored | undefined>}
 */
export async function rerank(engine, query, documents, report, job) {
    engine.needSession();
    checkHead(engine);
    engine.adapters.apply(engine.adapters.chosen);
    const { core } = engine,
        scores = new Float32Array(documents.length),
        pairs = new Pairs(engine, query),
        slice = new Slice(),
        out = core.allocate(4 * (1 + engine.context), 'a score');
    let read = 0;
    /** @type {number[]} */
    const cut = [];
    try {
        for (const [i, document] of documents.entries()) {
            if (job.stopped) return undefined;
            const { tokens, second, isCut } = pairs.of(document);
            if (isCut) cut.push(i);
            core.ints(out + 4, tokens.length).set(tokens);
            // an encoder reads a text in one batch
            core.count('nb_session_embed', engine.session, out + 4, tokens.length, 0, 0, second, POOLINGS.file, out);
            scores[i] = core.floats(out, 1)[0];
            read += tokens.length;
            if (!slice.over()) continue;
            report(i + 1);
            await slice.yieldToEvents();
        }
        return { scores, cut, tokens: read };
    } finally {
        core.exports.nb_free(out);
    }
}

/** @param {Engine} engine */
function checkHead({ description: { embedding, architecture } }) {
    if (!embedding) throw notOfIntegers();
    if (embedding.scores === 1) return;
    throw new NibbleError(
        'NB_ERR_UNSUPPORTED',
        `rerank(): this ${architecture} model ${
            embedding.scores
                ? `has a head that gives ${embedding.scores} numbers, not a score`
                : 'has no head that scores a document for a query'
        }; take a reranker whose head gives one number, such as bge-reranker-v2-m3 or ms-marco-MiniLM-L6-v2` +
            `${embedding.scores ? '' : ', or compare embeddings, of embed()'}`,
    );
}

/** The pairs of a query with documents, as the models were trained on them. */
class Pairs {
    #engine;
    #query;
    /** What stands before a text and after it. */
    #before;
    #after;
    /** RoBERTa's models have two separators between the texts, and BERT's have one. */
    #between;

    /** @param {Engine} engine @param {string} query */
    constructor(engine, query) {
        const { before, bare, after } = partsOf(engine, query);
        this.#engine = engine;
        this.#query = bare;
        this.#before = before;
        this.#after = after;
        this.#between =
            engine.description.tokenizer?.kind === 'wordpiece' ? this.#after : [...this.#after, ...this.#after];
        if (this.#room() < 1)
            throw new NibbleError(
                'NB_ERR_CONTEXT',
                `rerank(): the query has ${bare.length} tokens, which leave no room for a document in the context of ${
                    engine.context
                }; shorten the query (documents are cut, and the query is not)`,
            );
    }

    /** How many tokens of a document fit. */
    #room() {
        const { context } = this.#engine;
        return context - this.#before.length - this.#query.length - this.#between.length - this.#after.length;
    }

    /**
     * The tokens of a pair, the first one of its second text, and whether the document was cut.
     * @param {string} document
     */
    of(document) {
        const first = [...this.#before, ...this.#query, ...this.#between],
            text = this.#engine.tokenize(document, NB_TOKENIZE_BARE),
            kept = text.slice(0, this.#room());
        return {
            tokens: [...first, ...kept, ...this.#after],
            second: first.length,
            isCut: kept.length < text.length,
        };
    }
}
