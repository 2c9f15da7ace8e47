/**
 * AutoRound (src/nibble_train.h: nb_auto_round), in a core of its own with a pool of its own: the weights of a layer,
 * and the text's residual streams -> codes whose errors change the layer's outputs least.
 */
import {
    NB_FORMAT_GPTQ,
    nb_auto_round_grid,
    nb_auto_round_settings,
    nb_train_shape,
    nb_train_tensor,
    TYPES,
} from '../abi.js';
import { about, NibbleError } from '../errors.js';
import { yieldToEvents } from '../platform.js';
import { isFloat } from './planned.js';
import { startPooledCore } from './pool.js';
import { withName } from './quantize-core.js';
import { writeStructs } from './structs.js';
import { TrainedModel } from './train-model.js';

/** @typedef {import('./folding.js').Weights} Weights */
/** @typedef {import('./inputs.js').Room} Room */
/** @typedef {import('./planned.js').Planned} Planned */

/** A matrix to be rounded, and the place for what it becomes. @typedef {{ tensor: Weights } & Room} Rounded */

/** Windows of a step, as in the paper. */
const BATCH = 8;

/** nb_auto_round_takes: types that need blocks with the scales. */
const WITH_BLOCKS = 2;

export class AutoRound {
    #handle = 0;
    #width = 0;

    /**
     * @param {import('./core.js').Core} core
     * @param {number} pool
     * @param {() => void} end ends the threads
     */
    constructor(core, pool, end) {
        this.core = core;
        this.pool = pool;
        this.end = end;
    }

    /**
     * @param {import('../assets.js').Assets} assets
     * @param {number} threads
     * @param {(port: MessagePort) => void} watch
     */
    static async start(assets, threads, watch) {
        const { core, pool, end } = await startPooledCore('train', assets, threads, watch);
        return new AutoRound(core, pool, end);
    }

    /**
     * Refuses types and models that AutoRound cannot round, with an error that names them. It learns the scales of
     * most types itself: then a wider search for scales would do nothing.
     * @param {import('./parts.js').Parts} parts whose engine has described the model
     * @param {Planned[]} plan
     * @param {Planned[]} wanted
     * @param {number} window
     * @param {'reference' | 'best'} search
     */
    check(parts, plan, wanted, window, search) {
        const other = wanted.find(({ type }) => !isFloat(type) && !this.#canRound(type));
        if (other)
            throw refusal(
                `does not round to ${other.type} (${other.name}): take method gptq, or a type such as q4_0 or q4_k_m`,
            );
        const matrix = wanted.find(({ type }) => !isFloat(type));
        if (search === 'best' && matrix && !wanted.some(({ type }) => !isFloat(type) && this.needsBlocks(type)))
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `search (--search) best chooses scales, which method (--method) autoround learns for ${matrix.type}: ` +
                    'leave it out, or take a K-quant, such as q4_k_m',
            );
        const model = new TrainedModel(parts);
        model.plan = plan;
        model.keepsTypes = true;
        try {
            this.shape = { ...model.shape(window, 'context (--context)'), layers: 1, vocabulary: 1, is_tied: 1 };
        } catch (error) {
            const { code, message } = /** @type {NibbleError} */ (error);
            if (code !== 'NB_ERR_UNSUPPORTED') throw error;
            throw refusal(`goes backward through layers, and ${message}. Method gptq takes such models`, error);
        }
    }

    /** @param {string} type */
    #canRound(type) {
        return this.core.exports.nb_auto_round_takes(TYPES[type]);
    }

    /** Whether a type's scales come from blocks that were made before. @param {string} type */
    needsBlocks(type) {
        return this.#canRound(type) === WITH_BLOCKS;
    }

    /**
     * Begins with the first layer's inputs.
     * @param {import('./walk.js').Walk} walk
     * @param {number} window
     * @param {number} steps
     */
    begin(walk, window, steps) {
        const { core, shape, pool } = this;
        if (!shape) throw new NibbleError('NB_ERR_STATE', 'check() comes before begin()');
        this.#width = shape.width;
        const windows = walk.total / window,
            settings = { windows, window, steps, batch: BATCH, seed: 0 };
        this.#handle = core.borrow(nb_train_shape.size + nb_auto_round_settings.size, (at) => {
            const behind = at + nb_train_shape.size;
            writeStructs(core.memory, at, nb_train_shape, [shape]);
            writeStructs(core.memory, behind, nb_auto_round_settings, [settings]);
            return core.object('nb_auto_round_new', pool, at, behind);
        });
        this.windows = windows;
        this.steps = steps * Math.min(BATCH, windows);
        this.#copyStreams('exact', walk);
    }

    /** Copies the walk's residual streams. @param {'exact' | 'inputs'} which @param {import('./walk.js').Walk} walk */
    #copyStreams(which, walk) {
        const { core } = this,
            streams = walk.streams(this.#width);
        core.floats(core.exports[`nb_auto_round_${which}`](this.#handle) >>> 0, streams.length).set(streams);
    }

    /**
     * Copies a layer's weights.
     * @param {number} layer
     * @param {(name: string) => Float32Array} floats gives those of a tensor
     */
    load(layer, floats) {
        const { core } = this,
            { size, fields } = nb_train_tensor;
        this.layer = layer;
        /** The numbers of matrices and norms, by their names. @type {Map<string, number>} */
        this.places = new Map();
        for (let i = 0; ; i++) {
            const found = core.borrow(size, (at) => {
                const to = core.exports.nb_auto_round_tensor(this.#handle, i, at) >>> 0,
                    room = core.bytes(at + fields.name.at, size - fields.name.at);
                const [rows, columns] = core.ints(at + fields.rows.at, 2);
                return to === 0 ? null : { to, name: core.string(at + fields.name.at, room.indexOf(0)), rows, columns };
            });
            if (!found) return;
            const name = found.name.replace(/^blk\.0\./, `blk.${layer}.`),
                weights = floats(name),
                { rows, columns } = found;
            if (weights.length !== rows * columns)
                throw new NibbleError('NB_ERR_FORMAT', `${name} is not ${rows} x ${columns}; the file is broken`);
            this.places.set(name, i);
            core.floats(found.to, weights.length).set(weights);
        }
    }

    /** The exact streams pass through the layer. @param {import('./walk.js').Tick} tick */
    async pass(tick) {
        const { windows = 1 } = this;
        return this.#each('nb_auto_round_pass', windows, tick);
    }

    /**
     * Rounds the matrices, and fills their blocks or codes.
     * @param {import('./walk.js').Walk} walk that has the layer's inputs
     * @param {Rounded[]} matrices
     * @param {import('./walk.js').Tick} tick
     * @returns {Promise<{ first: number, least: number }>} mean squared errors of the outputs
     */
    async round(walk, matrices, tick) {
        const { core, steps = 1 } = this;
        this.#copyStreams('inputs', walk);
        for (const matrix of matrices) this.#choose(matrix);
        await this.#each('nb_auto_round_step', steps, tick);
        for (const matrix of matrices) this.#finish(matrix);
        const loss = (/** @type {string} */ which) => core.exports[`nb_auto_round_${which}_loss`](this.#handle);
        return { first: loss('first'), least: loss('least') };
    }

    /**
     * @param {string} name
     * @param {number} total calls
     * @param {import('./walk.js').Tick} tick
     */
    async #each(name, total, tick) {
        for (let left = total; left > 0; ) {
            left = this.#count(name);
            await yieldToEvents();
            await tick(1 - left / total);
        }
    }

    /** Calls a function, and names the layer in its errors. @param {string} name */
    #count(name) {
        try {
            return this.core.count(name, this.#handle);
        } catch (error) {
            throw about(`layer ${this.layer}`, error);
        }
    }

    /** @param {string} name */
    #place(name) {
        const place = this.places?.get(name);
        if (place === undefined) throw new NibbleError('NB_ERR_FORMAT', `the layer has no matrix ${name}`);
        return place;
    }

    /** @param {Rounded} matrix */
    #choose({ tensor, parts, to, blocks }) {
        const { core } = this,
            coded = parts?.[0].coded,
            grid = coded ? gridOf(coded.format) : { type: TYPES[to], bits: 0, group: 0, symmetric: 0, least_zero: 0 },
            given = !coded && this.needsBlocks(to) ? blocks : new Uint8Array(0);
        try {
            core.borrow(nb_auto_round_grid.size, (at) =>
                core.borrowBytes(given, (bytes) => {
                    writeStructs(core.memory, at, nb_auto_round_grid, [grid]);
                    const of = given.length > 0 ? bytes : 0;
                    core.count('nb_auto_round_choose', this.#handle, this.#place(tensor.name), at, of);
                }),
            );
        } catch (error) {
            throw withName(error, tensor.name);
        }
    }

    /** @param {Rounded} matrix */
    #finish({ tensor, parts, blocks }) {
        const { core } = this,
            place = this.#place(tensor.name),
            coded = parts?.[0].coded;
        if (coded) return this.#readCodes(place, tensor, coded);
        core.borrow(blocks.length, (at) => {
            core.count('nb_auto_round_blocks', this.#handle, place, at);
            blocks.set(core.bytes(at, blocks.length));
        });
    }

    /**
     * @param {number} place
     * @param {Weights} tensor
     * @param {import('./inputs.js').Coded} coded
     */
    #readCodes(place, { rows, columns }, { format, order, codes, scales, zeros, values, groups }) {
        const { core } = this,
            group = format.group || columns,
            n = rows * columns;
        core.borrow(values.length + scales.length + n + zeros.length, (values_) => {
            const scales_ = values_ + values.length,
                codes_ = scales_ + scales.length,
                zeros_ = codes_ + n;
            core.count('nb_auto_round_codes', this.#handle, place, codes_, scales_, zeros_, values_);
            values.set(core.bytes(values_, values.length));
            for (const [at, out] of /** @type {[number, Uint8Array][]} */ ([
                [codes_, codes],
                [scales_, scales],
                [zeros_, zeros],
            ])) {
                const size = out.length / rows;
                for (let row = 0; row < rows; row++) out.set(core.bytes(at + row * size, size), order[row] * size);
            }
        });
        for (let i = 0; i < columns; i++) groups[i] = Math.floor(i / group);
    }

    free() {
        this.core.exports.nb_auto_round_free(this.#handle);
        this.#handle = 0;
        this.end();
    }
}

/** nb_auto_round_grid of codes. @param {import('./inputs.js').CodeFormat} format */
const gridOf = ({ format, bits, group, symmetric }) => ({
    ...{ type: TYPES.f32, bits, group, symmetric },
    least_zero: format === NB_FORMAT_GPTQ ? 1 : 0,
});

/** @param {string} what @param {unknown} [cause] */
const refusal = (what, cause) =>
    new NibbleError('NB_ERR_UNSUPPORTED', `method (--method) autoround ${what}`, { cause });
