/** Chooses the type of each matrix, so that the file fits its budget and the sum of the losses is least. */
import { TYPES } from '../abi.js';
import { checkBudget } from './mix-budget.js';
import { bytesOf, MIX_TYPES } from './mix-types.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('../protocol.js').ChosenMix} ChosenMix */
/**
 * What was measured of a matrix: its loss as each of MIX_TYPES, and its curvature, if that could be measured.
 * @typedef {{ losses: number[], curvature?: number }} Finding
 */

/**
 * The file type that llama.cpp infers from the most frequent tensor type (llama-model-loader.cpp). Types that are not
 * here have the name of their file type.
 */
const FILE_TYPES = new Map([
    ['q3_k', 'q3_k_m'],
    ['q4_k', 'q4_k_m'],
    ['q5_k', 'q5_k_m'],
]);

/**
 * @param {import('./rounder.js').Rounder} rounder
 * @param {Planned[]} matrices
 * @param {Map<string, Finding>} findings of the matrices whose types are free
 * @param {Map<string, string>} fixed the types of the others
 * @param {import('./mix-budget.js').Budget} budget
 * @returns {Pick<ChosenMix, 'type' | 'tensors' | 'losses'> & { isMeasured: boolean }}
 */
export function chooseTypes(rounder, matrices, findings, fixed, budget) {
    const free = matrices.filter(({ name }) => findings.has(name)),
        usual = median([...findings.values()].flatMap(({ curvature }) => curvature ?? [])),
        bytes = free.map((tensor) => MIX_TYPES.map((type) => bytesOf(rounder, tensor, type)));
    const losses = free.map(({ name }) => {
        const found = /** @type {Finding} */ (findings.get(name)),
            curvature = found.curvature ?? usual ?? 1;
        return found.losses.map((loss) => (loss === Infinity ? loss : loss * curvature));
    });
    const smallest = bytes.reduce((sum, row, i) => sum + Math.min(...row.filter((_, k) => losses[i][k] < Infinity)), 0);
    checkBudget(budget, smallest);
    const chosen = free.length > 0 ? rounder.choose(bytes, losses, budget.most) : [],
        types = new Map([...fixed, ...free.map(({ name }, i) => /** @type {const} */ ([name, MIX_TYPES[chosen[i]]]))]);
    return {
        type: fileType(matrices.map(({ name }) => types.get(name) ?? 'q8_0')),
        tensors: matrices.map(({ name }) => [name, /** @type {string} */ (types.get(name))]),
        losses: Object.fromEntries(free.map(({ name }, i) => [name, losses[i][chosen[i]]])),
        isMeasured: usual !== undefined,
    };
}

/** The name for files in which these types of matrices are. @param {string[]} types */
function fileType(types) {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const type of types) counts.set(type, (counts.get(type) ?? 0) + 1);
    const [[most] = ['q8_0']] = [...counts].sort(([, a], [, b]) => b - a);
    return FILE_TYPES.get(most) ?? most;
}

/**
 * Whether what a side file holds is a mix of these matrices.
 * @param {any} value
 * @param {Planned[]} matrices
 */
export function isChosenMix(value, matrices) {
    const { type, tensors, losses, choice } = Object(value),
        names = new Set(matrices.map(({ name }) => name));
    return (
        (type in TYPES || [...FILE_TYPES.values()].includes(type)) &&
        Array.isArray(tensors) &&
        tensors.length === names.size &&
        tensors.every((one) => Array.isArray(one) && names.has(one[0]) && one[1] in TYPES) &&
        Object.values(Object(losses)).every((loss) => typeof loss === 'number') &&
        typeof choice?.isMeasured === 'boolean' &&
        /^(cosine|divergence)$/.test(choice.measure) &&
        typeof choice.chosenBy === 'string'
    );
}

/** @param {number[]} numbers */
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
