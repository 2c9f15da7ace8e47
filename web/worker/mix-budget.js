/** How many bytes the automatic mix may spend. */
import { NibbleError } from '../errors.js';
import { bytesOf } from './mix-types.js';
import { weightsOf } from './planned.js';

/** @typedef {import('./planned.js').Planned} Planned */
/**
 * most: bytes for the matrices whose types are free. taken: bytes of all else that counts. weights: of the whole model.
 * isSize: whether the budget was given as a size, not in bits.
 * @typedef {{ most: number, taken: number, weights: number, isSize: boolean }} Budget
 */

/**
 * @param {import('../protocol.js').MixOptions} options
 * @param {import('./rounder.js').Rounder} rounder
 * @param {Planned[]} plan
 * @param {Set<Planned>} free the matrices whose types are free
 * @param {Map<string, string>} fixed the types of other matrices
 * @param {number} overhead bytes of the file that are not weights
 * @returns {Budget}
 */
export function budgetOf(options, rounder, plan, free, fixed, overhead) {
    const others = plan.reduce((sum, tensor) => {
        const type = fixed.get(tensor.name);
        return sum + (free.has(tensor) ? 0 : type ? bytesOf(rounder, tensor, type) : tensor.bytes);
    }, 0);
    const isSize = options.size !== undefined,
        taken = isSize ? others + overhead : others,
        weights = plan.reduce((sum, tensor) => sum + weightsOf(tensor), 0);
    return { taken, weights, isSize, most: (options.size ?? (weights * (options.bits ?? 0)) / 8) - taken };
}

/**
 * @param {Budget} budget
 * @param {number} smallest bytes that the matrices need whose types are free
 */
export function checkBudget({ taken, weights, most, isSize }, smallest) {
    if (most >= smallest) return;
    const bytes = smallest + taken;
    throw new NibbleError(
        'NB_ERR_ARGUMENT',
        isSize
            ? `size (--size) must be ${Math.ceil(bytes)} bytes or more for this model`
            : `bits (--bits) must be ${Math.ceil((bytes * 800) / weights) / 100} or more for this model`,
    );
}
