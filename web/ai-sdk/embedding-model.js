import { MOST_TEXTS } from '../openai/fields.js';
import { unsupported } from './errors.js';

/**
 * @param {string} modelId
 * @param {import('../index.d.ts').Model} model
 * @returns {import('./types.d.ts').EmbeddingModelV4}
 */
export function embeddingModel(modelId, model) {
    const own = /** @type {import('../api/model.js').Model} */ (model),
        size = model.info.embedding?.size;
    return {
        specificationVersion: 'v4',
        provider: 'nibble.embedding',
        modelId,
        maxEmbeddingsPerCall: MOST_TEXTS,
        supportsParallelCalls: false, // requests of one model wait for each other
        /** @param {import('./types.d.ts').EmbeddingModelV4CallOptions} options */
        async doEmbed({ values, dimensions, abortSignal, providerOptions }) {
            if (dimensions !== undefined && dimensions !== size)
                throw unsupported('dimensions', `leave them out; the vectors of this model have ${size} numbers`);
            const embeddings = [];
            let tokens = 0;
            for (const value of values) {
                const embedded = await own.embedCounted(value, {
                    ...providerOptions?.nibble,
                    signal: abortSignal,
                });
                embeddings.push(Array.from(embedded.vector));
                tokens += embedded.tokens;
            }
            return { embeddings, usage: { tokens }, warnings: [] };
        },
    };
}
