/** The steps of sampling, by the names that llama.cpp gives them, in its order. */
import * as abi from './abi.js';

export const SAMPLERS = {
    top_n_sigma: abi.NB_STEP_TOP_SIGMAS,
    top_k: abi.NB_STEP_TOP_K,
    typ_p: abi.NB_STEP_TYPICAL,
    top_p: abi.NB_STEP_TOP_P,
    min_p: abi.NB_STEP_MIN_P,
    xtc: abi.NB_STEP_XTC,
    temperature: abi.NB_STEP_TEMPERATURE,
};

/** @typedef {keyof typeof SAMPLERS} Sampler */

/**
 * Steps as the core takes them: four bits for each, the first lowest.
 * @param {readonly Sampler[]} names
 */
export const stepsOf = (names) => names.reduceRight((steps, name) => (steps << 4) | SAMPLERS[name], 0) >>> 0;

/** What these are where they are off. A greedy choice comes before them. */
const OFF = { topNSigma: 0, typicalP: 1, xtcProbability: 0, dynatempRange: 0, mirostat: 0, samplers: undefined };

/**
 * The first option that has no effect because the temperature is 0, if there is one.
 * @param {Record<string, any>} checked
 */
export const withoutEffect = (checked) =>
    checked.temperature === 0 ? Object.entries(OFF).find(([name, off]) => checked[name] !== off)?.[0] : undefined;
