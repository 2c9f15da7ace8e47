/**
 * Scales of columns (AWQ, SmoothQuant): the columns of a layer's matrices are multiplied with scales, and the outputs
 * of the tensor before them divided by these. The layer computes what it did, but rounding its weights loses less.
 * The quantizer knows by names which tensor is divided (src/quant/awq_fold.h). SmoothQuant does this to make the
 * inputs fit 8 bits, and divides only norms (Xiao et al. 2023, section 4: other inputs have no norm before them).
 *
 * Names do not prove how a model computes. So the first tokens pass through the layer before and after each change, and
 * what does not give the same outputs is undone.
 */
import { TYPES } from '../abi.js';
import { part, weightsOf } from './planned.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./walk.js').Tick} Tick */
/** @typedef {import('./quantizer.js').Quantizer} Quantizer */

/** A tensor of the current layer, with its weights as they are now, of the type `from`.
 * @typedef {Planned & { weights: Uint8Array }} Weights */

/**
 * Matrices that read the same input, and the tensor that makes it: they are multiplied with the scales, it is divided.
 * group: where the input is observed. experts: how many inputs there are, each with scales of its own.
 * @typedef {{ absorber: Weights, bias?: Weights, isNorm: boolean, readers: Weights[], group: number,
 *     experts: number }} Pair
 */

/**
 * How far the outputs may be from what they were (nb_walk_change). Rounding in F32 is far below, and a wrong pair far
 * above.
 */
const MOST_CHANGE = 1e-3;

/** The most weights that the search looks at. In larger groups it picks rows evenly. */
const MOST_SEARCHED = 1 << 25;

export class Folding {
    /**
     * @param {import('./walk.js').Walk} walk whose layer has been observed as a whole
     * @param {import('./walk.js').Matrix[][]} groups
     * @param {Map<string, Weights>} tensors all of the layer. Those that change get new weights, of type f32
     * @param {Set<string>} wanted names of what will be quantized
     * @param {{ heads: number, kvHeads: number }} shape
     * @param {Quantizer} quantizer
     * @param {import('./maker.js').Maker} maker
     * @param {number} [smooth] SmoothQuant's alpha; else AWQ's search finds the scales
     * @param {import('./journal.js').Journal} [journal]
     */
    constructor(walk, groups, tensors, wanted, { heads, kvHeads }, quantizer, maker, smooth, journal) {
        this.walk = walk;
        this.groups = groups;
        this.tensors = tensors;
        this.wanted = wanted;
        this.heads = { heads, kv_heads: kvHeads };
        this.quantizer = quantizer;
        this.maker = maker;
        this.smooth = smooth;
        this.journal = journal;
        /** The tensors that have changed. @type {Set<Weights>} */
        this.changed = new Set();
    }

    /** The pairs, in the order in which the layer computes them. @returns {Promise<Pair[]>} */
    async pairs() {
        const all = [...this.tensors.values()],
            named = (/** @type {string} */ end) => all.find(({ name }) => name.endsWith(end)),
            [up, down] = [named('.ffn_up.weight'), named('.ffn_down.weight')];
        const isMerged = up !== undefined && down !== undefined && up.rows > down.columns,
            isGated = isMerged || all.some(({ name }) => /\.ffn_gate(_exps)?\.weight$/.test(name));
        /** @type {Map<string, Pair>} */
        const pairs = new Map();
        for (const tensor of all) {
            const rule = this.quantizer.foldRule(tensor.name, isGated),
                start = tensor.name.slice(0, tensor.name.lastIndexOf('.', tensor.name.length - '.weight'.length - 1));
            const absorber = rule.absorbers.flatMap((name) => this.tensors.get(`${start}.${name}.weight`) ?? [])[0];
            if (!absorber || (this.smooth !== undefined && !rule.isNorm)) continue;
            const bias = this.tensors.get(absorber.name.replace(/weight$/, 'bias')),
                known = pairs.get(absorber.name);
            if (known) known.readers.push(tensor);
            else
                pairs.set(absorber.name, {
                    ...{ absorber, bias, isNorm: rule.isNorm, readers: [tensor] },
                    ...{ group: -1, experts: 1 },
                });
        }
        const found = [];
        for (const some of pairs.values()) {
            const pair = { ...some, ...this.#input(some) };
            if (pair.group >= 0 && this.#fits(pair) && (await this.#isWritable(pair))) found.push(pair);
        }
        this.#logOthers(found);
        return found.sort((a, b) => a.group - b.group);
    }

    /** Logs which matrices are not scaled. @param {Pair[]} pairs */
    #logOthers(pairs) {
        const scaled = new Set(pairs.flatMap(({ readers }) => readers.map(({ name }) => name))),
            others = [...this.tensors.keys()].filter((name) => this.wanted.has(name) && !scaled.has(name));
        if (others.length > 0)
            this.journal?.(`${others.join(', ')}: not scaled, as nothing before can take the scales up`);
    }

    /** Where the input is observed. An input of all experts is observed at the router. @param {Pair} pair */
    #input({ readers, isNorm }) {
        const names = new Set(readers.map(({ name }) => name)),
            isHere = (/** @type {import('./walk.js').Matrix} */ matrix) =>
                names.has(matrix.name) && (!isNorm || matrix.experts === 1),
            group = this.groups.findIndex((matrices) => matrices.some(isHere));
        return { group, experts: this.groups[group]?.find(isHere)?.experts ?? 1 };
    }

    /** Whether all that changes can be written. @param {Pair} pair */
    async #isWritable({ absorber, bias, readers }) {
        for (const tensor of [...readers, absorber, ...(bias ? [bias] : [])]) {
            const { name } = tensor;
            if (this.wanted.has(name)) continue;
            if (!(await this.maker.canChange(this.quantizer, tensor, this.#isInGroup(name)))) return false;
        }
        return true;
    }

    /** Whether all that changes can be read, and the shapes fit. @param {Pair} pair */
    #fits({ absorber, bias, isNorm, readers, experts }) {
        const [{ columns }] = readers;
        const isReadable = (/** @type {Weights} */ tensor) => tensor.from === 'f32' || tensor.columns % 32 === 0;
        return (
            readers.some(({ name }) => this.wanted.has(name)) &&
            columns % 32 === 0 &&
            readers.every((reader) => reader.columns === columns) &&
            [...readers, absorber, ...(bias ? [bias] : [])].every(isReadable) &&
            (isNorm ? absorber.columns === columns : absorber.rows >= this.#outputs(readers[0])) &&
            (isNorm || (absorber.matrices === experts && readers[0].matrices === experts))
        );
    }

    /** @param {string} name */
    #isInGroup(name) {
        return this.groups.some((matrices) =>
            matrices.some((matrix) => matrix.name === name && matrix.columns % 32 === 0),
        );
    }

    /** The numbers of heads, if the columns are outputs of heads that share values. @param {Weights} reader */
    #headsOf({ name }) {
        const { heads, kv_heads } = this.heads;
        return name.endsWith('.attn_output.weight') && heads !== kv_heads ? this.heads : { heads: 0, kv_heads: 0 };
    }

    /** How many outputs of the absorbing tensor make the columns. @param {Weights} reader */
    #outputs(reader) {
        const { heads, kv_heads } = this.#headsOf(reader);
        return heads ? (reader.columns / heads) * kv_heads : reader.columns;
    }

    /**
     * Searches for scales, and folds them into the weights.
     * @param {Pair} pair
     * @param {Tick} tick
     */
    async fold(pair, tick) {
        const { absorber, readers, experts } = pair,
            title = `${absorber.name} -> ${readers.map(({ name }) => name).join(', ')}`;
        /** @type {(Float32Array | null)[]} */
        const scales = [];
        for (let expert = 0; expert < experts; expert++)
            scales.push(await this.#search(pair, expert, (share) => tick((expert + share) / experts)));
        const stored = pair.isNorm && this.maker.stored(absorber);
        if (stored && scales[0]) await this.#fit(absorber, stored, scales[0]);
        if (scales.every((one) => one === null)) this.journal?.(`${title}: no scales are better than none`);
        else this.#put(await this.#scaled(pair, scales), title);
    }

    /**
     * @param {Pair} pair
     * @param {(Float32Array | null)[]} scales of each expert
     */
    async #scaled({ absorber, bias, isNorm, readers, experts }, scales) {
        /** @type {Map<Weights, Float32Array>} */
        const made = new Map();
        const [reader] = readers,
            outputs = this.#outputs(reader);
        for (const tensor of new Set([...readers, absorber, ...(bias ? [bias] : [])]))
            made.set(tensor, this.#floats(tensor));
        await this.quantizer.open(reader.columns, null, async (q) => {
            for (const [tensor, weights] of made)
                for (const [expert, one] of scales.entries()) {
                    const mine = part(weights, expert, experts),
                        own = isNorm || tensor === bias ? 1 : tensor.columns;
                    if (one && readers.includes(tensor)) q.foldColumns(mine, one);
                    else if (one) q.foldRows(mine, mine.length / own - outputs, own, this.#headsOf(reader), one);
                }
        });
        return made;
    }

    /**
     * Puts the new weights in, if the layer's outputs stay the same. Outputs are compared in F32: products with
     * quantized weights round their inputs, which can change more than MOST_CHANGE by itself.
     * @param {Map<Weights, Float32Array>} made
     * @param {string} title
     */
    #put(made, title) {
        const { walk } = this;
        for (const tensor of made.keys()) walk.replace(tensor.name, TYPES.f32, bytesOf(this.#floats(tensor)));
        walk.note();
        for (const [{ name }, weights] of made) walk.replace(name, TYPES.f32, bytesOf(weights));
        const change = walk.change();
        const isSame = change <= MOST_CHANGE; // not if it is NaN
        this.journal?.(`${title}: ${isSame ? 'scaled' : 'left alone'}, outputs change by ${change}`);
        for (const [tensor, weights] of made) {
            if (!isSame) walk.replace(tensor.name, TYPES[tensor.from], tensor.weights);
            else {
                Object.assign(tensor, { from: 'f32', weights: bytesOf(weights) });
                this.changed.add(tensor);
            }
        }
    }

    /**
     * The best scales of one expert, for the matrices that will be quantized.
     * @param {Pair} pair
     * @param {number} expert
     * @param {Tick} tick
     * @returns {Promise<Float32Array | null>} null: none are better
     */
    async #search({ readers, group, experts }, expert, tick) {
        const [{ columns }] = readers,
            wanted = readers.filter(({ name }) => this.wanted.has(name)),
            [largest] = [...wanted].sort((a, b) => weightsOf(b) - weightsOf(a)),
            total = wanted.reduce((sum, reader) => sum + weightsOf(reader), 0) / experts / columns,
            every = this.smooth === undefined ? Math.ceil((total * columns) / MOST_SEARCHED) : 1,
            chosen = new Float32Array(Math.ceil(total / every) * columns);
        let row = 0;
        for (const reader of wanted) {
            const own = part(reader.weights, expert, experts),
                weights = this.#floats({ ...reader, weights: own });
            for (let at = 0; at < weights.length; at += columns, row++)
                if (row % every === 0) chosen.set(weights.subarray(at, at + columns), (row / every) * columns);
        }
        const { smooth } = this,
            heads = this.#headsOf(readers[0]),
            settings = { ...this.maker.grid(largest), ...heads };
        return this.quantizer.open(columns, this.walk.observed(group, expert, columns), async (q) =>
            smooth === undefined ? q.searchScales(settings, chosen, tick) : q.smoothScales(smooth, heads, chosen),
        );
    }

    /**
     * Changes the scales such that the norm that absorbs them is stored exactly.
     * @param {Weights} norm
     * @param {import('./kept-tensors.js').Stored} stored
     * @param {Float32Array} scales
     */
    async #fit(norm, stored, scales) {
        const weights = this.#floats(norm);
        await this.quantizer.open(norm.columns, null, async (q) => q.fitScales(stored, weights, scales));
    }

    /** A copy of a tensor's weights. @param {Weights} tensor */
    #floats({ from, columns, weights }) {
        return this.quantizer.floats(from, weights, columns);
    }
}

/** @param {Float32Array} floats */
const bytesOf = (floats) => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
