/** Options of a generation -> the core's sampler. */
import { nb_bias, nb_sampler_params } from '../abi.js';
import { NibbleError } from '../errors.js';
import { writeStructs } from './structs.js';

/**
 * @param {import('./core.js').Core} core
 * @param {number} model
 * @param {import('../options.js').CheckedGenerate} options
 * @param {number} seed
 * @returns {number} the caller gives it back with nb_sampler_free
 */
export function newSampler(core, model, options, seed) {
    const biases = Object.entries(options.logitBias).map(([token, bias]) => ({ token: Number(token), bias }));
    const size = core.exports.nb_model_vocabulary(model),
        unknown = biases.find(({ token }) => token >= size);
    if (unknown)
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `logitBias names token ${unknown.token}; this model's tokens are the numbers 0 to ${size - 1}`,
        );
    const { temperature, topK, topP, minP, repeatPenalty, presencePenalty, frequencyPenalty, penaltyLast } = options;
    return core.borrow(nb_sampler_params.size + biases.length * nb_bias.size, (at) => {
        const behind = writeStructs(core.memory, at, nb_sampler_params, [
            {
                temperature,
                top_k: topK,
                top_p: topP,
                min_p: minP,
                repeat_penalty: repeatPenalty,
                presence_penalty: presencePenalty,
                frequency_penalty: frequencyPenalty,
                penalty_last: penaltyLast,
                seed,
            },
        ]);
        writeStructs(core.memory, behind, nb_bias, biases);
        return core.object('nb_sampler_new', model, at, behind, biases.length);
    });
}
