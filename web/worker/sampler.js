/** Options of a generation -> the core's sampler. */
import { nb_bias, nb_sampler_params } from '../abi.js';
import { NibbleError } from '../errors.js';
import { SAMPLERS, stepsOf } from '../samplers.js';
import { writeStructs } from './structs.js';

/** @typedef {{ token: number, bias: number }} Bias */

/**
 * The biases of logitBias, whose texts are looked up.
 * @param {import('./engine.js').Engine} engine
 * @param {import('../options.js').CheckedGenerate} options
 * @returns {Bias[]}
 */
export function biasesOf(engine, options) {
    const texts = options.logitBias.map(([key]) => key).filter((key) => typeof key === 'string'),
        tokensOf = new Map(engine.tokensOfTexts('logitBias', texts).map((tokens, i) => [texts[i], tokens]));
    const biases = options.logitBias.flatMap(([key, bias]) =>
        (typeof key === 'string' ? (tokensOf.get(key) ?? []) : [key]).map((token) => ({ token, bias })),
    );
    const size = engine.core.exports.nb_model_vocabulary(engine.model),
        unknown = biases.find(({ token }) => token >= size);
    if (unknown)
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `logitBias names token ${unknown.token}; this model's tokens are the numbers 0 to ${size - 1}`,
        );
    return biases;
}

/**
 * @param {import('./core.js').Core} core
 * @param {number} model
 * @param {import('../options.js').CheckedGenerate} options
 * @param {Bias[]} biases
 * @param {number} seed
 * @returns {number} the caller gives it back with nb_sampler_free
 */
export function makeSampler(core, model, options, biases, seed) {
    const params = paramsOf(options, seed);
    const sampler = core.borrow(nb_sampler_params.size + biases.length * nb_bias.size, (at) => {
        const behind = writeStructs(core.memory, at, nb_sampler_params, [params]);
        writeStructs(core.memory, behind, nb_bias, biases);
        return core.object('nb_sampler_new', model, at, behind, biases.length);
    });
    try {
        if (options.dryMultiplier > 0)
            for (const text of options.drySequenceBreakers)
                core.borrowText(text, (at, bytes) => core.count('nb_sampler_break', sampler, model, at, bytes));
    } catch (error) {
        core.exports.nb_sampler_free(sampler);
        throw error;
    }
    return sampler;
}

/** @param {import('../options.js').CheckedGenerate} options @param {number} seed */
function paramsOf(options, seed) {
    // mirostat alone decides how many candidates there are, as in llama.cpp, unless steps are named
    const samplers = options.samplers ?? (options.mirostat ? ['temperature'] : Object.keys(SAMPLERS));
    return {
        temperature: options.temperature,
        temperature_range: options.dynatempRange,
        temperature_exponent: options.dynatempExponent,
        top_k: options.topK,
        top_p: options.topP,
        min_p: options.minP,
        typical_p: options.typicalP,
        top_sigmas: options.topNSigma,
        xtc_probability: options.xtcProbability,
        xtc_threshold: options.xtcThreshold,
        repeat_penalty: options.repeatPenalty,
        presence_penalty: options.presencePenalty,
        frequency_penalty: options.frequencyPenalty,
        penalty_last: options.penaltyLast,
        dry_multiplier: options.dryMultiplier,
        dry_base: options.dryBase,
        dry_allowed_length: options.dryAllowedLength,
        dry_last: options.dryPenaltyLast,
        mirostat: options.mirostat,
        mirostat_tau: options.mirostatTau,
        mirostat_eta: options.mirostatEta,
        steps: stepsOf(/** @type {import('../samplers.js').Sampler[]} */ (samplers)),
        seed,
    };
}
