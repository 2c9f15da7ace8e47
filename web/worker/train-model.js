/**
 * The model that is trained: its files are read by the converter, which makes a GGUF in F32 of whatever they are. The
 * engine gets its vocabulary, the trainer its weights. The result is the same GGUF with the trainer's weights.
 */
import { NB_TENSOR_BLANK, NB_TENSOR_MADE, TYPES } from '../abi.js';
import { NibbleError } from '../errors.js';
import { severalFiles } from '../sources/folder.js';
import { startCore } from './choose-build.js';
import { giveRecipe, openConversion } from './convert.js';
import { Engine } from './engine.js';
import { inputFiles } from './load-model.js';
import { copying, Parts } from './parts.js';
import { Pieces } from './pieces.js';
import { planned, plannedTensors } from './planned.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./trainer.js').TrainerTensor} TrainerTensor */

/** For sources that can be read only once. They were refused before. */
const nothing = async () => null;

/** What the converter is asked for: weights that were quantized are read, too. */
const AS_FLOATS = { search: 'reference', requantize: true, doubleQuant: false, part: 0, parts: 1 };

export class TrainedModel {
    /** @param {Parts} parts */
    constructor(parts) {
        this.parts = parts;
        this.engine = parts.engine;
        /** @type {Planned[]} */
        this.plan = [];
        this.keepsTypes = false;
    }

    /**
     * @param {import('../sources/open.js').Source} source
     * @param {import('../assets.js').Assets} assets
     * @param {import('./journal.js').Journal} [journal]
     * @param {{ keepsTypes?: boolean, preset?: import('../index.d.ts').Preset }} [how] keepsTypes: the GGUF has the
     *     types that the files have, not F32. preset: what the GGUF says that it is; its tensors are F32 all the same
     */
    static async open(source, assets, journal, { keepsTypes = false, preset = 'f32' } = {}) {
        const files = await inputFiles(source, await severalFiles(source), nothing),
            recipe = /** @type {import('../protocol.js').QuantizeOptions} */ ({ ...AS_FLOATS, type: preset }),
            setUp = (/** @type {import('./core.js').Core} */ core, /** @type {number} */ converter) =>
                giveRecipe(core, converter, recipe);
        const conversion = await openConversion(files, keepsTypes ? { assets } : { assets, setUp }, journal);
        const { core } = await startCore({ threads: 1, assets, precision: 'exact' }, journal);
        const model = new TrainedModel(new Parts(conversion, new Engine(core, 1)));
        try {
            await model.#readHeader(keepsTypes);
        } catch (error) {
            model.free();
            throw error;
        }
        return model;
    }

    /** @param {boolean} keepsTypes */
    async #readHeader(keepsTypes) {
        const { parts, engine } = this,
            { core, converter } = parts.conversion;
        await parts.conversion.readHeaders();
        const tensors = plannedTensors(core, converter);
        if (!keepsTypes) for (const { i } of tensors) core.count('nb_converter_choose', converter, i, TYPES.f32);
        this.keepsTypes = keepsTypes;
        this.plan = plannedTensors(core, converter);
        await parts.loadHeader();
        engine.description = engine.describe();
    }

    free() {
        this.parts.free();
    }

    /**
     * The shape for the trainer. What the trainer lacks is refused with an error that names it.
     * @param {number} length of the sequences
     * @param {string} [option] which chooses that, for messages
     * @returns {import('./trainer.js').Shape}
     */
    shape(length, option = 'length (--length)') {
        const { plan, engine } = this,
            { architecture, metadata } = engine.description;
        checkTensors(plan, this.keepsTypes);
        if (architecture !== 'llama') throw lacks(`layers as the architecture ${architecture} has them`);
        const key = (/** @type {string} */ name) => metadata[`llama.${name}`],
            number = (/** @type {string} */ name, /** @type {number} */ fallback) => Number(key(name) ?? fallback);
        const scaling = key('rope.scaling.type');
        if (
            (scaling !== undefined && scaling !== 'none' && number('rope.scaling.factor', 1) !== 1) ||
            number('rope.scale_linear', 1) !== 1
        )
            throw lacks(`scaled rotary positions (${scaling ?? 'linear'})`);
        if (key('attention.causal') === false) throw lacks('attention to tokens that follow');
        if (number('expert_count', 0) > 0) throw lacks('experts');
        const window = number('attention.sliding_window', 0);
        if (window > 0 && window < length)
            throw lacks(`a window of ${window} tokens, and sequences are longer: take ${option} ${window}`);
        const sizes = new Map(plan.map(({ name, columns, rows }) => [name, { columns, rows }])),
            at = (/** @type {string} */ name) => sizes.get(name) ?? { columns: 0, rows: 0 };
        const { columns: width, rows: vocabulary } = at('token_embd.weight'),
            heads = number('attention.head_count', 1),
            queries = at('blk.0.attn_q.weight').rows,
            headSize = number('attention.key_length', width / heads);
        if (number('attention.value_length', headSize) !== headSize || queries !== heads * headSize)
            throw lacks('keys and values of other sizes than the heads');
        if (number('rope.dimension_count', headSize) !== headSize)
            throw lacks('a rotation of only a part of each head');
        return {
            vocabulary,
            width,
            layers: number('block_count', 0),
            heads,
            kv_heads: at('blk.0.attn_k.weight').rows / headSize,
            head_size: headSize,
            hidden: at('blk.0.ffn_up.weight').rows,
            is_tied: sizes.has('output.weight') ? 0 : 1,
            is_interleaved: 1,
            rope_base: number('rope.freq_base', 10000),
            epsilon: number('attention.layer_norm_rms_epsilon', 1e-5),
        };
    }

    /**
     * Copies the weights of the files to the trainer.
     * @param {import('./trainer.js').Trainer} trainer
     */
    async load(trainer) {
        const { conversion } = this.parts,
            { core, converter } = conversion,
            places = pairs(trainer.tensors, this.plan),
            room = new Uint8Array(1 << 16);
        this.parts.include(() => NB_TENSOR_MADE);
        const place = () =>
            places.map(({ i, trained }) => ({
                at: planned(core, converter, i).at,
                bytes: trainer.stored(trained),
            }));
        await conversion.write(copying({ room: () => room, commit: () => {} }, place));
    }

    /**
     * The GGUF, with the trainer's weights. Rounded ones have the type that they were trained for.
     * @param {import('./trainer.js').Trainer} trainer
     * @param {import('./pieces.js').PiecesPort} port
     */
    async write(trainer, port) {
        const { conversion } = this.parts,
            { core, converter } = conversion,
            places = pairs(trainer.tensors, this.plan),
            names = new Set(trainer.tensors.map(({ name }) => name));
        this.parts.include((name) => (names.has(name) ? NB_TENSOR_BLANK : NB_TENSOR_MADE));
        for (const { i, trained } of places) {
            const type = trainer.exportType(trained);
            if (type !== undefined) core.count('nb_converter_choose', converter, i, type);
        }
        const place = () =>
            places
                .map(({ i, trained }) => {
                    const { at, bytes } = planned(core, converter, i);
                    return {
                        at,
                        end: at + bytes,
                        read: (/** @type {number} */ from, /** @type {Uint8Array} */ room) =>
                            room.set(trainer.written(trained).subarray(from, from + room.length)),
                    };
                })
                .sort((a, b) => a.at - b.at);
        const out = new Pieces(port, () => {}, place);
        await conversion.write(out);
        out.end();
    }
}

/** @param {string} what */
const lacks = (what) =>
    new NibbleError('NB_ERR_UNSUPPORTED', `the model has what training in nibble does not have: ${what}`);

/** What tensors belong to that the trainer cannot use, by their names. @type {[RegExp, string][]} */
const FOREIGN = [
    [/_norm\.bias$/, 'norms with biases'],
    [/\.bias$/, 'biases'],
    [/attn_[qk]_norm/, 'norms of queries and keys'],
    [/^rope_|rope_(freqs|factors)/, 'scaled rotary positions'],
    [/_exps|_shexp|ffn_gate_inp/, 'experts'],
    [/\.order$/, 'columns in another order'],
    [/attn_qkv|post_.*norm/, "layers that are not as Llama's"],
];

/** Names of the tensors that the trainer has. */
const KNOWN = /^(token_embd|output_norm|output|blk\.\d+\.(attn_(norm|q|k|v|output)|ffn_(norm|gate|up|down)))\.weight$/;

/** @param {Planned[]} plan @param {boolean} keepsTypes */
function checkTensors(plan, keepsTypes) {
    const foreign = plan.find(({ name }) => !KNOWN.test(name));
    if (foreign)
        throw lacks(
            `${FOREIGN.find(([pattern]) => pattern.test(foreign.name))?.[1] ?? 'another tensor'} (${foreign.name})`,
        );
    const other = keepsTypes ? undefined : plan.find(({ type }) => type !== 'f32');
    if (other) throw lacks(`weights of type ${other.type} (${other.name})`);
}

/**
 * The trainer's tensors and where the plan has them.
 * @param {TrainerTensor[]} tensors
 * @param {Planned[]} plan
 */
const pairs = (tensors, plan) =>
    tensors.map((trained) => {
        const found = plan.find(({ name }) => name === trained.name);
        if (!found)
            throw new NibbleError('NB_ERR_FORMAT', `the model has no tensor ${trained.name}; the file is broken`);
        if (found.rows !== trained.rows || found.columns !== trained.columns || found.matrices !== 1)
            throw new NibbleError(
                'NB_ERR_FORMAT',
                `${found.name} is ${found.rows} x ${found.columns}, and ${trained.rows} x ${trained.columns} would fit`,
            );
        return { trained, i: found.i };
    });
