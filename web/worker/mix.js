/**
 * quantize() with a budget of bits or bytes: which type each matrix gets, so that the loss is least.
 *
 * The loss of matrix t as type k is taken to be c(t) e(t, k), and losses of several matrices to add up. e(t, k) is the
 * sum of importance (w - q)^2 over a sample of rows: the diagonal of tr(E H E^T). c(t), the curvature, is measured: t
 * alone is rounded to a type of about three bits, and the KL divergence of the whole model's output,
 * over some tokens of the calibration text, is divided by e(t, that type). For small errors the divergence is quadratic
 * in them, so that c(t) is about the same for all types. So is 1 - cosine between an embedding and the original's,
 * which takes the divergence's place where the model is an encoder.
 */
import { TYPES } from '../abi.js';
import { NibbleError } from '../errors.js';
import { severalFiles } from '../sources/folder.js';
import { startCore } from './choose-build.js';
import { giveRecipe, openConversion } from './convert.js';
import { Engine } from './engine.js';
import { nameOf, stopwatch } from './journal.js';
import { inputFiles } from './load-model.js';
import { budgetOf, checkBudget } from './mix-budget.js';
import { chooseTypes, isChosenMix } from './mix-choice.js';
import { MixProgress } from './mix-progress.js';
import { bytesOf, MIX_TYPES, mixTypesOf, plainType, probeTypeOf } from './mix-types.js';
import { Parts } from './parts.js';
import { layerOf, planned, plannedTensors } from './planned.js';
import { Probe } from './probe.js';
import { withName } from './quantize-core.js';
import { Rounder } from './rounder.js';
import { openSideFile } from './side-file.js';
import { checkRules, rulesOf } from './type-rules.js';
import { collectOver, cutForInputs, spread } from './windows.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./rounder.js').Tensor} Tensor */
/** @typedef {import('../protocol.js').MixOptions} MixOptions */
/** @typedef {import('../protocol.js').ChosenMix} ChosenMix */
/** @typedef {import('./side-file.js').SideFile} SideFile */
/** @typedef {import('./mix-choice.js').Finding} Finding */

/** Tokens by which curvatures are measured, and those of a window; bytes that the original model's logits may take. */
const PROBE_TOKENS = 1024,
    PROBE_WINDOW = 128,
    MOST_LOGITS = 64 << 20;

/** The name of the option, for messages. */
const CALLER = 'calibration (--calibration)';

/**
 * @param {import('../sources/open.js').Source} source
 * @param {MixOptions} options
 * @param {{ nextFromPort: () => Promise<Uint8Array | null>, watch: (port: MessagePort) => void,
 *     progress: (progress: import('../index.d.ts').Progress) => void }} port
 * @param {import('./journal.js').Journal} [journal]
 * @returns {Promise<ChosenMix>}
 */
export async function mix(source, options, port, journal) {
    journal?.(`source: ${nameOf(source)}`);
    const { assets, threads, search } = options,
        files = await inputFiles(source, await severalFiles(source), port.nextFromPort);
    // Q8_0 is asked for, so that matrices which may be quantized can be recognized
    const recipe = { ...options, type: /** @type {const} */ ('q8_0'), imatrix: undefined, part: 0, parts: 1 };
    const conversion = await openConversion(
            files,
            { assets, setUp: (core, converter) => giveRecipe(core, converter, recipe) },
            journal,
        ),
        started = await startCore({ threads, assets, precision: 'exact' }, journal),
        engine = new Engine(started.core, started.threads);
    engine.pool = engine.core.object('nb_pool_new', engine.threads);
    const parts = new Parts(conversion, engine);
    /** @type {Rounder | undefined} */
    let rounder;
    /** @type {(() => void) | undefined} */
    let endThreads;
    /** @type {SideFile | undefined} */
    let side;
    try {
        await conversion.readHeaders();
        side = options.resume === undefined ? undefined : await openSideFile(options.resume, []);
        [rounder, endThreads] = await Promise.all([
            Rounder.start(assets, engine.threads, search, port.watch),
            engine.startWorkers(assets.poolWorkerUrl, port.watch),
        ]);
        return await new Mix(parts, rounder, options, port.progress, side, journal).run();
    } finally {
        side?.close();
        parts.free();
        rounder?.free();
        endThreads?.();
    }
}

class Mix {
    /**
     * @param {Parts} parts
     * @param {Rounder} rounder
     * @param {MixOptions} options
     * @param {(progress: import('../index.d.ts').Progress) => void} report
     * @param {SideFile} [side] which keeps what was measured
     * @param {import('./journal.js').Journal} [journal]
     */
    constructor(parts, rounder, options, report, side, journal) {
        this.parts = parts;
        this.side = side;
        this.rounder = rounder;
        this.options = options;
        this.journal = journal;
        this.imatrix = options.imatrix;
        /** Why no curvature is measured; an empty text if it is. */
        this.unmeasured = options.calibration === undefined ? 'there is no calibration text' : '';
        /** @type {Map<string, Finding>} */
        this.findings = new Map();
        const { core, converter } = parts.conversion,
            all = plannedTensors(core, converter),
            free = all.filter(({ wanted, columns, rows }) => wanted === 'q8_0' && columns > 0 && rows > 0);
        for (const { i, from } of free) core.count('nb_converter_choose', converter, i, TYPES[plainType(from)]);
        /** All tensors, with the source's types. @type {Planned[]} */
        this.plan = plannedTensors(core, converter);
        this.matrices = free.map(({ i }) => this.plan[i]);
        /** Types that the options give to matrices, whatever the budget. @type {Map<string, string>} */
        this.fixed = new Map();
        const rules = rulesOf(options, all);
        checkRules(
            rules,
            all,
            this.matrices.map(({ name }) => name),
        );
        for (const { i, name, type } of this.matrices) {
            const rule = rules.find(([pattern]) => pattern.test(name));
            if (!rule) continue;
            core.count('nb_converter_choose', converter, i, TYPES[rule[1]]);
            this.fixed.set(name, planned(core, converter, i).type); // another type if rows are not whole blocks
            core.count('nb_converter_choose', converter, i, TYPES[type]);
        }
        this.layers = Math.max(-1, ...all.map(({ name }) => layerOf(name))) + 1;
        this.progress = new MixProgress(report);
        for (const tensor of this.matrices) if (!this.fixed.has(tensor.name)) this.progress.total += this.#cost(tensor);
    }

    /** @returns {Promise<ChosenMix>} */
    async run() {
        const { parts, options, rounder } = this,
            time = stopwatch();
        const hash = this.side?.hash(),
            isProbed = options.calibration !== undefined && (await this.#load(hash)),
            overhead = this.#overhead();
        const free = this.matrices.filter(({ name }) => !this.fixed.has(name)),
            budget = budgetOf(options, rounder, this.plan, new Set(free), this.fixed, overhead);
        const smallest = free.reduce(
            (sum, tensor) => sum + Math.min(...this.#typesOf(tensor).map((type) => bytesOf(rounder, tensor, type))),
            0,
        );
        checkBudget(budget, smallest);
        const kept = isProbed ? this.#kept(options.calibration ?? '', hash?.digest('hex')) : undefined;
        if (kept?.chosen) {
            this.journal?.('mix: an earlier run has measured it');
            return kept.chosen;
        }
        const probe = isProbed ? await this.#begin(options.calibration ?? '') : undefined;
        if (this.imatrix) rounder.useImportance(this.imatrix);
        try {
            for (let layer = -1; layer < this.layers; layer++) {
                await this.#layer(probe, layer);
                if (layer >= 0 && layer + 1 < this.layers) await probe?.next();
            }
        } finally {
            probe?.free();
            parts.freeModel();
        }
        this.journal?.(`mix: ${this.matrices.length} matrices were measured, ${time()}`);
        const { isMeasured, ...types } = chooseTypes(rounder, this.matrices, this.findings, this.fixed, budget);
        /** @type {ChosenMix} */
        const chosen = {
            ...types,
            choice: {
                isMeasured,
                measure: this.#isEncoder ? 'cosine' : 'divergence',
                chosenBy: this.#chosenBy(isMeasured),
            },
            imatrix: this.imatrix,
        };
        if (kept && chosen.choice.isMeasured) {
            const { imatrix, ...value } = chosen;
            this.side?.keep(kept.run, value, imatrix ?? new Uint8Array(0));
        }
        return chosen;
    }

    /**
     * What an earlier run of the same kind has measured, if the side file has it. (One that could not measure for want
     * of memory was fast, and left nothing.)
     * @param {string} text
     * @param {string} [model] the hash of the source's weights
     * @returns {{ run: import('./blocks.js').Run, chosen?: ChosenMix } | undefined} undefined: there is no side file
     */
    #kept(text, model = '') {
        const { side, options } = this;
        if (!side) return undefined;
        const { bits, size, search, context, imatrix, tensors, outputType, tokenEmbeddingType } = options,
            method = options.method === 'autoround' ? options.method : undefined, // which has types of its own
            collected = imatrix ? [] : spread(this.#windows(text), options.samples);
        const run = {
            settings: { bits, size, search, context, imatrix, tensors, outputType, tokenEmbeddingType, method },
            ...{ choices: {}, plan: '', ends: model },
            text: new Uint8Array(Int32Array.from([...collected, ...this.#probeTokens(text).tokens]).buffer),
        };
        const found = side.measured(run);
        if (!found || !isChosenMix(found.value, this.matrices)) return { run };
        return { run, chosen: { ...found.value, imatrix: found.bytes.length > 0 ? found.bytes : undefined } };
    }

    /**
     * Loads the whole model. @param {import('./blocks.js').Hash} [hash] @returns {Promise<boolean>} whether it fits
     * into memory
     */
    async #load(hash) {
        const { engine } = this.parts;
        try {
            await this.parts.load(
                () => true,
                () => false,
                hash,
                { contextLength: 1 }, // the probe and the collector have sessions of their own
            );
        } catch (error) {
            this.#doWithout(error, 'the model does not fit into memory');
            return false;
        }
        engine.description = engine.describe();
        return true;
    }

    /**
     * Goes on without curvatures if memory is too small to measure them.
     * @param {unknown} error which is thrown again if it is another one
     * @param {string} why
     */
    #doWithout(error, why) {
        if (!(error instanceof NibbleError) || error.code !== 'NB_ERR_MEMORY') throw error;
        this.unmeasured = why;
        this.journal?.(`mix: ${why}, so no curvature is measured: ${error.message}`);
    }

    /** Whether the model's output is an embedding, not logits. */
    get #isEncoder() {
        return this.parts.engine.description?.encoder === true; // without a text, the engine has no model
    }

    /** The types that a matrix may become. @param {{ name: string, columns: number }} tensor */
    #typesOf(tensor) {
        return mixTypesOf(tensor, this.options.method);
    }

    /** What it costs to measure a matrix, in tokens that pass through a layer. @param {Planned} tensor */
    #cost(tensor) {
        const layers = this.layers - Math.max(0, layerOf(tensor.name)) + 1;
        return this.options.calibration === undefined ? 1 : PROBE_TOKENS * layers;
    }

    /** The most bytes of the GGUF that are not weights. */
    #overhead() {
        const { core, converter } = this.parts.conversion;
        if (this.parts.isFirst) {
            this.parts.conversion.next();
            this.parts.isFirst = false;
        }
        this.plan = this.plan.map(({ i }) => planned(core, converter, i)); // with their bytes
        this.matrices = this.matrices.map(({ i }) => this.plan[i]);
        const weights = this.plan.reduce((sum, { bytes }) => sum + bytes, 0),
            total = core.exports.nb_converter_total(converter);
        return total - weights + 32 * this.plan.length + 1024; // tensors begin at multiples of 32; keys of the imatrix
    }

    /**
     * Collects the importance matrix, and makes the probe.
     * @param {string} text
     * @returns {Promise<Probe | undefined>} undefined: there is no memory for them
     */
    async #begin(text) {
        /** @type {Probe | undefined} */
        let probe;
        try {
            if (!this.imatrix) await this.#collect(text);
            probe = this.#probe(text);
            await probe.base();
            return probe;
        } catch (error) {
            probe?.free();
            this.#doWithout(error, 'there is no memory left to run the model');
        }
    }

    /** Collects the importance matrix. @param {string} text */
    async #collect(text) {
        const { options, progress } = this,
            { engine } = this.parts,
            all = this.#windows(text),
            input = spread(all, options.samples),
            cost = input.length * this.layers;
        progress.total += cost;
        const course = {
            job: { stopped: false },
            turn: async (/** @type {() => any} */ run) => run(),
            report: (/** @type {{ done: number, total: number }} */ { done, total }) =>
                progress.tick('importance', (cost * done) / total),
        };
        const windows = { ...all, tokens: input, stride: all.context, windows: input.length / all.context };
        const chosen = { format: /** @type {const} */ ('gguf'), textName: 'calibration' };
        this.imatrix = (await collectOver(engine, windows, chosen, course))?.bytes;
        progress.done += cost;
    }

    /** The windows that the importance matrix is collected over. @param {string} text */
    #windows(text) {
        return cutForInputs(this.parts.engine, text, this.options, CALLER);
    }

    /** @param {string} text */
    #probe(text) {
        const { tokens, context } = this.#probeTokens(text);
        return new Probe(this.parts.engine, tokens, context);
    }

    /** The tokens that curvatures are measured with. @param {string} text */
    #probeTokens(text) {
        const { engine } = this.parts,
            { exports } = engine.core;
        const own = exports.nb_model_context(engine.model) || PROBE_WINDOW,
            longest = Math.trunc(engine.description.embedding?.maxTokens ?? PROBE_WINDOW),
            all = cutForInputs(engine, text, { context: Math.min(PROBE_WINDOW, own, longest) }, CALLER),
            outputs = this.#isEncoder ? 1 : exports.nb_model_vocabulary(engine.model),
            most = Math.max(1, Math.floor(Math.min(PROBE_TOKENS, MOST_LOGITS / 4 / outputs) / all.context));
        return { tokens: spread(all, most), context: all.context };
    }

    /**
     * Measures the matrices of a layer; for -1, those outside the layers.
     * @param {Probe | undefined} probe
     * @param {number} layer
     */
    async #layer(probe, layer) {
        const matrices = this.matrices.filter(({ name }) => layerOf(name) === layer && !this.fixed.has(name));
        if (matrices.length === 0) return;
        const names = new Set(matrices.map(({ name }) => name)),
            weights = await this.parts.read((name) => names.has(name));
        for (const matrix of matrices) {
            this.progress.tick(matrix.name, 0);
            const tensor = {
                ...matrix,
                .../** @type {{ from: string, weights: Uint8Array }} */ (weights.get(matrix.name)),
            };
            try {
                this.findings.set(matrix.name, await this.#measure(probe, tensor, layer >= 0));
            } catch (error) {
                throw withName(error, tensor.name);
            }
            weights.delete(matrix.name);
            this.progress.done += this.#cost(matrix);
        }
    }

    /**
     * @param {Probe | undefined} probe
     * @param {Tensor} tensor
     * @param {boolean} isOfLayer
     * @returns {Promise<Finding>}
     */
    async #measure(probe, tensor, isOfLayer) {
        const { rounder } = this,
            types = this.#typesOf(tensor),
            probed = probeTypeOf(types);
        rounder.begin(tensor);
        /** @type {number[]} */
        const losses = [];
        for (const type of MIX_TYPES)
            losses.push(types.includes(type) && rounder.canBecome(type) ? await rounder.loss(tensor, type) : Infinity);
        if (!probe || !probed) return { losses };
        const loss = losses[MIX_TYPES.indexOf(probed)];
        if (!(loss > 0)) return { losses, curvature: 0 };
        const blocks = await rounder.blocks(tensor, probed);
        try {
            probe.replace(tensor.name, probed, blocks);
        } catch (error) {
            // the model has several matrices as one tensor, or one as several: this one's loss is weighted as usual
            if (error instanceof NibbleError && /_(ARGUMENT|UNSUPPORTED)$/.test(error.code)) return { losses };
            throw error;
        }
        const divergence = await probe.divergence(isOfLayer);
        probe.replace(tensor.name, tensor.from, tensor.weights);
        this.journal?.(`mix: ${tensor.name} as ${probed}: a divergence of ${divergence.toExponential(3)}`);
        // the model's output overflows with it: nothing was measured
        if (!Number.isFinite(divergence)) return { losses };
        return { losses, curvature: divergence / loss };
    }

    /** What the choice rests on, as a sentence for people. @param {boolean} isMeasured */
    #chosenBy(isMeasured) {
        if (isMeasured) return "what rounding each matrix changes in the model's output, as measured";
        const why = this.unmeasured || 'no matrix of this model can be rounded alone';
        return `the error of the rounded weights${
            this.imatrix ? ', weighted by the importance matrix' : ' alone'
        }; what it changes in the model's output was not measured, because ${why}`;
    }
}
