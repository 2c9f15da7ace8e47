/**
 * LLM.int8() (Dettmers et al. 2022, section 3): the weights of columns that meet large inputs stay in 16 bits, and all
 * others become Q8_0 with one scale for each row. The calibration text shows which columns these are. A GGUF has them
 * beside X.weight, which is 0 there: X.outliers F16 [rows, n] and X.outlier_columns I32 [n].
 */
import { NibbleError } from '../errors.js';
import { BlocksInMemory } from './blocks.js';
import { GGUF_BLOCKS } from './maker.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./quantizer.js').Quantizer} Quantizer */
/** @typedef {import('./inputs.js').Room} Room */
/** @typedef {import('./split-rows.js').Split} Split */

/** Makes the blocks, and keeps them: a Maker and a Blocks (maker.js, blocks.js). */
export class OutlierBlocks extends BlocksInMemory {
    /** The number of such columns, by the number of the tensor. @type {Map<number, number>} */
    found = new Map();
    grid = GGUF_BLOCKS.grid;
    canChange = GGUF_BLOCKS.canChange;
    isRemade = GGUF_BLOCKS.isRemade;
    stored = GGUF_BLOCKS.stored;
    bytesOf = GGUF_BLOCKS.bytesOf;

    /**
     * @param {number} threshold
     * @param {import('./type-rules.js').Rules} rules tensors that these name get their types without outliers
     */
    constructor(threshold, rules) {
        super();
        this.threshold = threshold;
        this.rules = rules;
    }

    /** Refuses a model of which no matrix can be split, before anything is computed. @param {Planned[]} plan */
    checkPlan(plan) {
        const refuse = (/** @type {string} */ what) =>
            new NibbleError('NB_ERR_ARGUMENT', `outliers (--outliers): ${what}`);
        const there = plan.find(({ name }) => name.endsWith('.outliers'));
        if (there) throw refuse(`the model has ${there.name} already: take the one that it was made of`);
        if (!plan.some((tensor) => this.isWanted(tensor)))
            throw refuse(
                'no matrix of a layer is rounded to int8 here, as they are quantized already or get other types: take ' +
                    'a model in floating point, or leave it out',
            );
    }

    /** finish() has kept the tensor. */
    put() {}

    /** Experts are rounded as they pass through the converter. @param {Planned} tensor */
    isWanted(tensor) {
        const { name, type, matrices } = tensor;
        if (type !== 'q8_0' || matrices !== 1 || /\.\d+\.weight$/.test(name)) return false;
        return !this.rules.some(([pattern]) => pattern.test(name)) && GGUF_BLOCKS.isWanted(tensor);
    }

    /** @param {Quantizer} quantizer @param {Planned} tensor */
    room(quantizer, tensor) {
        const values = new Uint8Array(4 * tensor.rows * tensor.columns);
        return {
            to: 'q8_0',
            blocks: this.space(this.bytesOf(quantizer, tensor)),
            split: { threshold: this.threshold, values, columns: new Int32Array(0), kept: new Uint8Array(0) },
        };
    }

    /** @param {Quantizer} _ @param {Planned} tensor @param {Room} made */
    finish(_, { i, name }, { blocks, split }) {
        const { values, columns, kept } = /** @type {Split} */ (split),
            beside = name.slice(0, -'weight'.length);
        this.tensors.set(name, blocks);
        if (columns.length > 0) {
            this.found.set(i, columns.length);
            this.tensors.set(`${beside}outliers`, kept);
            this.tensors.set(`${beside}outlier_columns`, new Uint8Array(columns.buffer));
        }
        return { type: 'f32', bytes: values };
    }
}
