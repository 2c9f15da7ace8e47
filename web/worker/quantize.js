/** quantize(): a model's files -> the pieces of one GGUF, whose weights are quantized while they pass through the
 * converter. */
import {
    NB_QUANTIZE_AGAIN,
    NB_QUANTIZE_BEST,
    NB_QUANTIZE_DOUBLY,
    NB_QUANTIZE_FILE,
    nb_planned_tensor,
    TYPES,
} from '../abi.js';
import { NibbleError } from '../errors.js';
import { severalFiles } from '../sources/folder.js';
import { convert } from './convert.js';
import { nameOf } from './journal.js';
import { inputFiles, Meter } from './load-model.js';

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('../index.d.ts').PlannedTensor} PlannedTensor */

/** Bytes that are sent at once. */
const PIECE = 1 << 20;

const NAMES = new Map(Object.entries(TYPES).map(([name, number]) => [number, name]));

/**
 * @param {import('../sources/open.js').Source} source
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {object} port
 * @param {() => Promise<Uint8Array | null>} port.nextFromPort
 * @param {(progress: import('../index.d.ts').Progress) => void} port.progress
 * @param {(tensors: PlannedTensor[]) => void} port.planned
 * @param {(bytes: Uint8Array) => void} port.piece
 * @param {() => Promise<void>} port.room waits until the reader has nearly all pieces
 * @param {import('./journal.js').Journal} [journal]
 */
export async function quantize(source, options, port, journal) {
    journal?.(`source: ${nameOf(source)}`);
    const files = await inputFiles(source, await severalFiles(source), port.nextFromPort);
    const meter = new Meter(port.progress);
    let total = () => 0;
    const out = new Pieces(port, (written) => meter.tick(written, total()));
    await convert(
        files,
        {
            assets: options.assets,
            setUp: (core, converter) => setUp(core, converter, options),
            planned(core, converter) {
                total = () => core.exports.nb_converter_total(converter);
                port.planned(plan(core, converter, options));
            },
        },
        journal,
    ).into(out);
    out.end();
    meter.end(out.written, out.written);
}

/**
 * @param {Core} core
 * @param {number} converter
 * @param {import('../protocol.js').QuantizeOptions} options
 */
function setUp(core, converter, { type, search, requantize, doubleQuant, imatrix, part, parts }) {
    const flags =
        NB_QUANTIZE_FILE |
        (search === 'best' ? NB_QUANTIZE_BEST : 0) |
        (requantize ? NB_QUANTIZE_AGAIN : 0) |
        (doubleQuant ? NB_QUANTIZE_DOUBLY : 0);
    core.borrowText(type, (at, length) => core.count('nb_converter_quantize', converter, at, length, flags));
    core.count('nb_converter_share', converter, part, parts);
    try {
        if (imatrix)
            core.borrowUtf8(imatrix, (at, length) => core.count('nb_converter_importance', converter, at, length));
    } catch (error) {
        if (!(error instanceof NibbleError) || error.code === 'NB_ERR_MEMORY') throw error;
        // of another code, or whoever asked would look for the fault in the model
        throw new NibbleError('NB_ERR_ARGUMENT', `quantize(): imatrix (--imatrix): ${error.message}`, { cause: error });
    }
}

/**
 * Asks for the plan, and gives the tensors that the options name their types. The first pattern that fits a name
 * counts; the types of the output and of the token embedding go before all.
 * @param {Core} core
 * @param {number} converter
 * @param {import('../protocol.js').QuantizeOptions} options
 * @returns {PlannedTensor[]}
 */
function plan(core, converter, { tensors, outputType, tokenEmbeddingType }) {
    const rules = tensors.map(([pattern, type]) => /** @type {const} */ ([new RegExp(pattern), type]));
    if (tokenEmbeddingType) rules.unshift([/^(per_layer_)?token_embd\.weight$/, tokenEmbeddingType]);
    if (outputType) rules.unshift([/^output\.weight$/, outputType]);
    const n = core.count('nb_converter_plan', converter),
        names = Array.from({ length: n }, (_, i) => planned(core, converter, i).name);
    if (outputType && !names.includes('output.weight'))
        // the token embedding is the output
        rules.push([/^token_embd\.weight$/, outputType]);
    for (const [i, name] of names.entries()) {
        const rule = rules.find(([pattern]) => pattern.test(name));
        if (rule) core.count('nb_converter_choose', converter, i, TYPES[rule[1]]);
    }
    return names.map((_, i) => planned(core, converter, i));
}

/**
 * @param {Core} core
 * @param {number} converter
 * @param {number} i
 * @returns {PlannedTensor}
 */
const planned = (core, converter, i) =>
    core.borrow(nb_planned_tensor.size, (at) => {
        core.count('nb_converter_planned', converter, i, at);
        const { fields } = nb_planned_tensor,
            view = new DataView(core.memory.buffer, at, nb_planned_tensor.size);
        const word = (/** @type {'source_type' | 'wanted_type' | 'type' | 'name_bytes'} */ field) =>
            view.getUint32(fields[field].at, true);
        const typeName = (/** @type {number} */ number) => NAMES.get(number) ?? String(number);
        return {
            name: core.string(at + fields.name.at, word('name_bytes')),
            from: typeName(word('source_type')),
            wanted: typeName(word('wanted_type')),
            type: typeName(word('type')),
        };
    });

/** A sink (sources/open.js) that sends on what comes in pieces of one size. */
class Pieces {
    /**
     * @param {{ piece: (bytes: Uint8Array) => void, room: () => Promise<void> }} port
     * @param {(written: number) => void} tick
     */
    constructor(port, tick) {
        this.port = port;
        this.tick = tick;
        this.ready = port.room;
        this.buffer = new Uint8Array(PIECE);
        this.filled = 0;
        this.written = 0;
    }

    room() {
        return this.buffer.subarray(this.filled);
    }

    /** @param {number} n */
    commit(n) {
        this.filled += n;
        this.written += n;
        this.tick(this.written);
        if (this.filled === PIECE) this.send();
    }

    send() {
        const full = this.buffer.subarray(0, this.filled);
        this.buffer = new Uint8Array(PIECE);
        this.filled = 0;
        this.port.piece(full);
    }

    end() {
        if (this.filled > 0) this.send();
    }
}
