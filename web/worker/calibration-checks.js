/** Refuses models that a method with a calibration text cannot quantize. */
import { NibbleError } from '../errors.js';

/** @typedef {import('./planned.js').Planned} Planned */

/**
 * @param {Planned[]} plan
 * @param {Planned[]} wanted the matrices to quantize
 * @param {string} method
 * @param {boolean} scalesColumns whether the method scales columns
 */
export function checkPlan(plan, wanted, method, scalesColumns) {
    const outliers = plan.find(({ name }) => name.endsWith('.outliers'));
    if (scalesColumns && outliers) throw notScalable(method, outliers.name);
    const reordered = wanted.find(({ name }) => plan.some((tensor) => isNewOrder(tensor, name)));
    if (reordered) throw inAnotherOrder(reordered);
}

/**
 * Whether a tensor is the order of a matrix's columns, which the converter makes: the files have none.
 * @param {Planned} tensor
 * @param {string} matrix its name
 */
const isNewOrder = ({ name, source }, matrix) => source === '' && name === matrix.replace(/weight$/, 'order');

/** The order belongs to the matrix's old codes. @param {Planned} tensor */
const inAnotherOrder = ({ name, from }) =>
    new NibbleError(
        'NB_ERR_UNSUPPORTED',
        `tensor ${name} is quantized already, and its columns are in another order (desc_act). A method that ` +
            'calibrates reads such a matrix only from a GGUF: make a GGUF of the folder first, with the type that the ' +
            `codes have (--type ${from})`,
    );

/**
 * The scales would have to change the columns that are kept in 16 bits, too.
 * @param {string} method
 * @param {string} name
 */
const notScalable = (method, name) =>
    new NibbleError(
        'NB_ERR_ARGUMENT',
        `method (--method) ${method} scales columns, but this model keeps some in 16 bits (${name}): take gptq, or ` +
            'the model that it was made of',
    );

/** In encoders the norms come after the blocks, and their output is also the residual stream. */
export const nothingToSmooth = () =>
    new NibbleError(
        'NB_ERR_ARGUMENT',
        'smooth (--smooth): no norm of this model feeds only matrices, so no norm can take scales up: leave it out',
    );
