/**
 * quantize() with a calibration text. For one layer after the other: the converter gives its weights, the walk observes
 * the inputs of each group of its matrices, the quantizer makes blocks of the weights, and the walk goes on with these.
 * When all layers are done, the converter writes the GGUF with zeros in the places of the blocks, and the blocks are
 * put there as it passes.
 *
 * In memory are the weights of one layer, what was observed of one group, the text's residual streams, and the blocks,
 * if no side file has them.
 */
import { NB_WALK_HESSIANS, NB_WALK_MEANS, NB_WALK_RANGES, TYPES } from '../abi.js';
import { NibbleError } from '../errors.js';
import { AutoRound } from './auto-round.js';
import { checkPlan, nothingToSmooth } from './calibration-checks.js';
import { calibrationRun } from './calibration-run.js';
import { startCore } from './choose-build.js';
import { Conversion } from './convert.js';
import { Engine } from './engine.js';
import { Folding } from './folding.js';
import { stopwatch } from './journal.js';
import { LayerProgress } from './layer-progress.js';
import { GGUF_BLOCKS } from './maker.js';
import { Parts } from './parts.js';
import { isFloat, layerOf, part, weightsOf } from './planned.js';
import { Quantizer } from './quantizer.js';
import { Walk } from './walk.js';
import { cutForInputs, spread } from './windows.js';

/** @typedef {import('./blocks.js').Blocks} Blocks */
/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./folding.js').Weights} Weights */
/** @typedef {import('./maker.js').Maker} Maker */
/** @typedef {import('./walk.js').Matrix} Matrix */
/** @typedef {import('../protocol.js').QuantizeOptions} QuantizeOptions */
/**
 * @typedef {{ progress: (progress: import('../index.d.ts').Progress) => void, watch: (port: MessagePort) => void }}
 *     Port
 */

/**
 * Whether the encoder of a type, with importance, searches for the range of each block. Clipping before that does not
 * help: of the small model of docs/quantizing.md as Q4_0 the divergence was 0.00776 with it and 0.00771 without, each
 * ± 0.00013, and by the best search 0.00824 and 0.00785.
 * @param {string} type
 * @param {QuantizeOptions['search']} search
 */
const searches = (type, search) =>
    /^(q[45]_[01]|q\d_k|iq)/.test(type) || (search === 'best' && /^(mxfp4|nvfp4)$/.test(type));
/**
 * Whether a layer's weights fit into a core's 4 GB as floats, together with those of the source and the text's streams.
 * The limit is the same on every device, and so are the bytes that are made.
 * @param {Planned[]} plan
 * @param {number} layer
 */
export const fitsAsFloats = (plan, layer) =>
    4 * plan.reduce((sum, tensor) => sum + (layerOf(tensor.name) === layer ? weightsOf(tensor) : 0), 0) <= 2 ** 30;

/** The output matrix and its scale, which no layer needs. (The output's bias is loaded: families that have one require
 * it.) */
const OF_OUTPUT = new Set(['output.weight', 'output.scale']);
/** Factors of RoPE, which layers need, too. */
const isOfLayers = (/** @type {string} */ name) => /^rope_/.test(name);

/**
 * @param {Conversion} conversion which has read the headers; another one is made of its files
 * @param {Planned[]} plan what all tensors become
 * @param {QuantizeOptions} options
 * @param {Port} port
 * @param {Blocks} blocks receives what is made
 * @param {import('./journal.js').Journal} [journal]
 * @param {Maker} [maker]
 */
export async function calibrate({ core, files }, plan, options, port, blocks, journal, maker = GGUF_BLOCKS) {
    const { assets, threads } = options,
        { watch } = port;
    const started = await startCore({ threads, assets, precision: 'exact' }, journal);
    const engine = new Engine(started.core, started.threads);
    engine.journal = journal;
    engine.pool = engine.core.object('nb_pool_new', engine.threads);
    const [quantizer, endThreads, autoRound] = await Promise.all([
        Quantizer.start(assets, engine.threads, options, watch),
        engine.startWorkers(assets.poolWorkerUrl, watch),
        options.method === 'autoround' ? AutoRound.start(assets, engine.threads, watch) : null,
    ]);
    const parts = new Parts(new Conversion(core, files, { assets }, journal), engine);
    try {
        await parts.conversion.readHeaders();
        await new Calibration(parts, quantizer, autoRound, plan, options, port, blocks, maker, journal).run();
    } finally {
        parts.free();
        autoRound?.free();
        endThreads();
        quantizer.end();
    }
}

class Calibration {
    /** The numbers of attention heads. */
    shape = { heads: 0, kvHeads: 0 };

    /**
     * @param {Parts} parts
     * @param {Quantizer} quantizer
     * @param {AutoRound | null} autoRound if that is the method
     * @param {Planned[]} plan
     * @param {QuantizeOptions} options
     * @param {Port} port
     * @param {Blocks} blocks
     * @param {Maker} maker
     * @param {import('./journal.js').Journal} [journal]
     */
    constructor(parts, quantizer, autoRound, plan, options, port, blocks, maker, journal) {
        this.plan = plan;
        this.blocks = blocks;
        this.parts = parts;
        this.quantizer = quantizer;
        this.autoRound = autoRound;
        this.options = options;
        this.journal = journal;
        this.folds = options.method.startsWith('awq') || options.folder?.smooth !== undefined;
        /** What is observed to round, and to scale columns. */
        this.toRound =
            (options.method === 'rtn' ? NB_WALK_MEANS : NB_WALK_HESSIANS) +
            (options.folder?.activations === 'static' ? NB_WALK_RANGES : 0);
        this.toScale = options.folder?.smooth === undefined ? NB_WALK_HESSIANS : NB_WALK_MEANS;
        this.maker = maker;
        const wanted = plan.filter((tensor) => maker.isWanted(tensor));
        checkPlan(plan, wanted, options.method, this.folds);
        this.wanted = new Set(wanted.map(({ name }) => name));
        this.layers = Math.max(-1, ...plan.map(({ name }) => layerOf(name))) + 1;
        this.progress = new LayerProgress(
            port.progress,
            this.layers,
            wanted.reduce((sum, tensor) => sum + maker.bytesOf(quantizer, tensor), 0),
        );
    }

    /** Quantizes all layers. */
    async run() {
        const walk = await this.#begin();
        try {
            const { layers } = this.blocks;
            for (let layer = 0; layer < layers; layer++) await this.#passMade(walk, layer);
            for (let layer = layers; layer < this.layers; layer++) await this.#layer(walk, layer);
        } finally {
            walk.free();
        }
    }

    /** Makes the first layer's inputs of the text's tokens. */
    async #begin() {
        const { parts, options, blocks, journal } = this,
            { engine } = parts,
            time = stopwatch(),
            hash = blocks.hash?.();
        await parts.loadHeader();
        engine.description = engine.describe();
        this.shape = { heads: engine.description.heads ?? 0, kvHeads: engine.description.kvHeads ?? 0 };
        const all = cutForInputs(engine, options.calibration ?? '', options, 'calibration (--calibration)'),
            tokens = spread(all, options.samples),
            rows = parts.pickTokens(tokens);
        this.autoRound?.check(
            parts,
            this.plan,
            this.plan.filter(({ name }) => this.wanted.has(name)),
            all.context,
            options.search,
        );
        parts.freeModel();
        await parts.load((name) => layerOf(name) < 0 && !OF_OUTPUT.has(name), undefined, hash);
        blocks.begin(calibrationRun(options, this.plan, all.context, tokens, hash?.digest('hex') ?? ''));
        const walk = new Walk(engine, rows, all.context);
        try {
            walk.begin(engine.model);
            this.autoRound?.begin(walk, all.context, options.steps);
        } catch (error) {
            walk.free();
            throw error;
        }
        parts.freeModel();
        journal?.(`calibration: ${tokens.length} tokens in windows of ${all.context}, ${time()}`);
        return walk;
    }

    /**
     * The walk goes on with quantized weights, as floats: the reference tools multiply these with inputs in F32. The
     * engine's products of codes would round the inputs once more, and are no faster without relaxed SIMD. Only layers
     * whose floats are too large go on with codes.
     * @param {Walk} walk
     * @param {string} name
     * @param {string} type
     * @param {Uint8Array} bytes
     */
    #goOnWith(walk, name, type, bytes) {
        if (isFloat(type) || !fitsAsFloats(this.plan, layerOf(name))) {
            walk.replace(name, TYPES[type], bytes);
            return;
        }
        const { columns } = /** @type {Planned} */ (this.plan.find((tensor) => tensor.name === name)),
            weights = this.quantizer.floats(type, bytes, columns);
        walk.replace(name, TYPES.f32, new Uint8Array(weights.buffer));
    }

    /**
     * Goes through a layer that an earlier run has made. If that run has made all layers, nothing needs the outputs.
     * @param {Walk} walk
     * @param {number} layer
     */
    async #passMade(walk, layer) {
        const { parts, progress, blocks } = this,
            hash = blocks.hash?.();
        const areAllMade = blocks.layers === this.layers,
            isKept = (/** @type {string} */ name) => this.autoRound !== null && !areAllMade && layerOf(name) === layer;
        const kept = await parts.load(belongsTo(layer), isKept, hash);
        blocks.check(layer, hash?.digest('hex') ?? '');
        if (!areAllMade) {
            walk.layer(parts.engine.model, layer);
            progress.beginLayer(layer, this.autoRound ? 2 : 1);
            if (this.autoRound) await this.#passExact(layer, this.#tensorsOf(kept));
            for (const { name, type, bytes } of blocks.made(layer)) {
                this.#goOnWith(walk, name, type, bytes);
                progress.loaded += bytes.length;
            }
            await progress.step('pass', `blk.${layer}`, (tick) => walk.pass(tick));
        }
        parts.freeModel();
        this.journal?.(`layer ${layer}: made before`);
    }

    /**
     * @param {Walk} walk
     * @param {number} layer
     */
    async #layer(walk, layer) {
        const { parts, progress, options, blocks, journal, folds } = this,
            time = stopwatch(),
            smooth = options.folder?.smooth,
            hash = blocks.hash?.();
        const kept = await parts.load(
            belongsTo(layer),
            (name) => layerOf(name) === layer && (folds || this.autoRound !== null || this.wanted.has(name)),
            hash,
        );
        const tensors = this.#tensorsOf(kept),
            all = walk.layer(parts.engine.model, layer),
            isKnown = (/** @type {Matrix} */ { name }) => this.wanted.has(name) && tensors.has(name),
            folding = folds
                ? new Folding(walk, all, tensors, this.wanted, this.shape, this.quantizer, this.maker, smooth, journal)
                : null,
            pairs = (await folding?.pairs()) ?? [];
        if (smooth !== undefined && layer === 0 && pairs.length === 0) throw nothingToSmooth();
        if (this.autoRound) {
            await this.#roundLayer(this.autoRound, walk, layer, all, tensors);
            return this.#endLayer(walk, layer, `by AutoRound, ${time()}`, hash);
        }
        const known = () =>
                all
                    .map((matrices, group) => ({ group, matrices: matrices.filter(isKnown) }))
                    .filter(({ matrices }) => matrices.length > 0),
            hasTwoParts = all.some(([{ part }]) => part > 0),
            passes = options.trueSequential && hasTwoParts ? 2 : 1,
            steps = (options.trueSequential ? 2 : 1) * known().length + passes + (options.trueSequential ? 0 : 1);
        progress.beginLayer(layer, steps + (pairs.length > 0 ? 1 + pairs.length : 0));
        if (folding && pairs.length > 0) await this.#fold(walk, layer, folding, pairs);
        const groups = known(); // scaling may have added a matrix
        await this.#quantizeGroups(walk, layer, groups, tensors);
        const matrices = groups.flatMap(({ matrices }) => matrices).length;
        await this.#endLayer(walk, layer, `${matrices} matrices, ${time()}`, hash);
    }

    /**
     * Observes and quantizes a layer's groups: all are observed first, or each after the groups before it are quantized
     * (trueSequential).
     * @param {Walk} walk
     * @param {number} layer
     * @param {{ group: number, matrices: Matrix[] }[]} groups
     * @param {Map<string, Weights>} tensors each is dropped when it is quantized
     */
    async #quantizeGroups(walk, layer, groups, tensors) {
        const { progress, toRound } = this,
            { trueSequential } = this.options;
        if (!trueSequential) await progress.step('observe', `blk.${layer}`, (tick) => walk.observe(-1, toRound, tick));
        let part = 0;
        for (const { group, matrices } of groups) {
            const [{ name }] = matrices;
            if (trueSequential && part < matrices[0].part) {
                await progress.step('pass', `blk.${layer}`, (tick) => walk.passPart(tick));
                part = matrices[0].part;
            }
            if (trueSequential) await progress.step('observe', name, (tick) => walk.observe(group, toRound, tick));
            await progress.step('quantize', name, async (tick) => {
                for (const { tensor, ...room } of await this.#quantize(walk, group, matrices, tensors, tick)) {
                    this.#put(walk, tensor, room);
                    tensors.delete(tensor.name);
                }
            });
        }
    }

    /**
     * @param {Walk} walk
     * @param {number} layer
     * @param {string} what was made
     * @param {import('./blocks.js').Hash} [hash] of the layer's weights
     */
    async #endLayer(walk, layer, what, hash) {
        await this.blocks.endLayer(hash?.digest('hex'));
        if (layer + 1 < this.layers) {
            await this.progress.step('pass', `blk.${layer}`, (tick) => walk.pass(tick));
            this.parts.freeModel();
        }
        this.journal?.(`layer ${layer}: ${what}`);
    }

    /**
     * Tensors of the plan with their weights.
     * @param {Map<string, { from: string, weights: Uint8Array }>} kept
     */
    #tensorsOf(kept) {
        /** @type {Map<string, Weights>} */
        const tensors = new Map();
        for (const tensor of this.plan) {
            const found = kept.get(tensor.name);
            if (found) tensors.set(tensor.name, { ...tensor, ...found });
        }
        return tensors;
    }

    /**
     * Passes AutoRound's exact streams through a layer.
     * @param {number} layer
     * @param {Map<string, Weights>} tensors
     */
    async #passExact(layer, tensors) {
        const { autoRound, progress, quantizer } = this;
        autoRound?.load(layer, (name) => {
            const tensor = tensors.get(name);
            if (!tensor) throw new NibbleError('NB_ERR_FORMAT', `the model has no tensor ${name}; the file is broken`);
            return quantizer.floats(tensor.from, tensor.weights, tensor.columns);
        });
        await progress.step('pass', `blk.${layer}`, async (tick) => autoRound?.pass(tick));
    }

    /**
     * Quantizes a layer by AutoRound. The scales of types that have several in a block are those of rounding to
     * nearest.
     * @param {AutoRound} autoRound
     * @param {Walk} walk
     * @param {number} layer
     * @param {Matrix[][]} all
     * @param {Map<string, Weights>} tensors
     */
    async #roundLayer(autoRound, walk, layer, all, tensors) {
        const { progress, quantizer, maker, blocks } = this,
            wanted = [...tensors.values()].filter(({ name }) => this.wanted.has(name)),
            withBlocks = new Set(wanted.filter(({ type }) => autoRound.needsBlocks(type)).map(({ name }) => name)),
            groups = all
                .map((matrices, group) => ({ group, matrices: matrices.filter(({ name }) => withBlocks.has(name)) }))
                .filter(({ matrices }) => matrices.length > 0);
        progress.beginLayer(layer, groups.length + (groups.length > 0 ? 1 : 0) + 3);
        await this.#passExact(layer, tensors);
        if (groups.length > 0)
            await progress.step('observe', `blk.${layer}`, (tick) => walk.observe(-1, this.toRound, tick));
        /** @type {import('./auto-round.js').Rounded[]} */
        const rounded = wanted
            .filter(({ name }) => !withBlocks.has(name))
            .map((tensor) => ({ tensor, ...maker.room(quantizer, tensor, blocks) }));
        for (const { group, matrices } of groups)
            await progress.step('quantize', matrices[0].name, async (tick) => {
                rounded.push(...(await this.#quantize(walk, group, matrices, tensors, tick)));
            });
        if (rounded.length === 0) return;
        const { first, least } = await progress.step('quantize', `blk.${layer}`, (tick) =>
            autoRound.round(walk, rounded, tick),
        );
        this.journal?.(`layer ${layer}: mean squared error ${first}, and after AutoRound ${least}`);
        for (const { tensor, ...room } of rounded) this.#put(walk, tensor, room);
    }

    /**
     * Scales columns, for AWQ or SmoothQuant. The changed tensors go into the file.
     * @param {Walk} walk
     * @param {number} layer
     * @param {Folding} folding
     * @param {import('./folding.js').Pair[]} pairs
     */
    async #fold(walk, layer, folding, pairs) {
        const { progress, blocks, wanted, maker } = this;
        await progress.step('observe', `blk.${layer}`, (tick) => walk.observe(-1, this.toScale, tick));
        for (const pair of pairs) await progress.step('scale', pair.absorber.name, (tick) => folding.fold(pair, tick));
        for (const tensor of folding.changed)
            if (wanted.has(tensor.name) || maker.isRemade(tensor)) wanted.add(tensor.name);
            else blocks.put({ name: tensor.name, type: 'f32', bytes: tensor.weights });
    }

    /**
     * Quantizes the matrices of a group, and returns what they became.
     * @param {Walk} walk
     * @param {number} group
     * @param {Matrix[]} matrices
     * @param {Map<string, Weights>} kept
     * @param {import('./walk.js').Tick} tick
     */
    async #quantize(walk, group, matrices, kept, tick) {
        const { columns } = matrices[0],
            { quantizer, options, maker } = this,
            experts = Math.max(...matrices.map((matrix) => matrix.experts));
        const tensors = matrices.map((matrix) => {
            const tensor = /** @type {Weights} */ (kept.get(matrix.name)),
                { name, from, type, weights } = tensor,
                room = maker.room(quantizer, tensor, this.blocks),
                isCoded = room.parts?.[0].coded !== undefined,
                isClipped = isCoded || !(isFloat(type) || searches(type, options.search)),
                mayClip = options.method === 'awq' && options.clip && isClipped,
                clips = mayClip && quantizer.foldRule(name, true).clips;
            return { ...matrix, tensor, from, weights, clips, ...room };
        });
        for (let expert = 0; expert < experts; expert++) {
            const rows = tensors
                .filter((tensor) => expert < tensor.experts)
                .map((tensor) => ({
                    ...tensor,
                    firstRow: expert * tensor.rows,
                    weights: part(tensor.weights, expert, tensor.experts),
                    blocks: part(tensor.blocks, expert, tensor.experts),
                    ...tensor.parts?.[expert],
                }));
            await quantizer.open(columns, walk.observed(group, expert, columns), (inputs) =>
                inputs.quantize(rows, (share) => tick((expert + share) / experts)),
            );
            for (const { input } of rows)
                if (input) input.found = quantizer.input(input.settings, walk.range(group, expert));
        }
        return tensors;
    }

    /**
     * Puts what a tensor became into the walk, and among the blocks.
     * @param {Walk} walk
     * @param {Weights} tensor
     * @param {import('./inputs.js').Room} room
     */
    #put(walk, tensor, room) {
        const { maker, quantizer, blocks, progress } = this,
            { name } = tensor,
            { type, bytes } = maker.finish(quantizer, tensor, room);
        this.#goOnWith(walk, name, type, bytes);
        blocks.put({ name, type, bytes });
        progress.loaded += maker.bytesOf(quantizer, tensor);
    }
}

/** Whether a model with one layer has the tensor. @param {number} layer */
const belongsTo = (layer) => (/** @type {string} */ name) => layerOf(name) === layer || isOfLayers(name);
