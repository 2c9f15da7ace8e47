/**
 * quantizeFolder(): a Hugging Face folder -> the files of one whose layers' matrices are codes with scales. These come
 * first in the files of weights, layer by layer as they are made. All other tensors follow, byte for byte as they were,
 * except those that AWQ's scales change, such as norms. The parts of matrices that would break the alignment are last.
 */
import { NibbleError } from '../errors.js';
import { otherFiles } from '../sources/folder.js';
import { isWeights } from '../sources/names.js';
import { readAll } from '../sources/open.js';
import { BlocksInMemory } from './blocks.js';
import { calibrate } from './calibrate.js';
import { giveRecipe, openConversion } from './convert.js';
import { withQuantization } from './folder-config.js';
import { FolderFiles } from './folder-files.js';
import { codings, entriesOf } from './folder-tensors.js';
import { formatOf } from './formats/folder-formats.js';
import { KeptTensors } from './kept-tensors.js';
import { Meter } from './load-model.js';
import { roundToNearest } from './nearest.js';
import { layerOf, part, plannedTensors } from './planned.js';
import { withName } from './quantize-core.js';
import { bySize, indexOf, readHeader, shardsOf } from './safetensors.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./folder-tensors.js').Coding} Coding */
/** @typedef {import('./safetensors.js').Entry} Entry */
/** @typedef {import('./quantizer.js').Quantizer} Quantizer */
/** @typedef {import('../quantize-options.js').CheckedFolder} CheckedFolder */
/** @typedef {import('./folder-files.js').FilePort & Parameters<typeof calibrate>[3]
 *     & { ranges: (ranges: import('../index.d.ts').ActivationRange[]) => void }} Port */

/** Embeddings and the output, by their names in the plan. */
const ENDS = /^(output|token_embd|position_embd|token_types)\.weight$/;

/**
 * @param {import('../sources/open.js').Source} source
 * @param {import('./convert.js').InputFile[]} files
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {CheckedFolder} folder
 * @param {Port} port
 * @param {import('./journal.js').Journal} [journal]
 */
export async function quantizeFolder(source, files, options, folder, port, journal) {
    const weights = files.filter(isWeights);
    if (
        !files.some(({ name }) => name === 'config.json') ||
        !weights.every(({ name }) => name.endsWith('.safetensors'))
    ) {
        (await files[0].open()).cancel?.(); // a missing or unreadable file has an error of its own
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            'a quantized folder (--format) is made only from a Hugging Face folder with config.json and ' +
                '*.safetensors: give such a folder, or make a GGUF (quantize(), or --type without --format)',
        );
    }
    const conversion = await openConversion(
            files,
            { assets: options.assets, setUp: (core, converter) => giveRecipe(core, converter, options) },
            journal,
        ),
        { core, converter } = conversion;
    try {
        await conversion.readHeaders(port.ready);
        const plan = plannedTensors(core, converter),
            headers = await Promise.all(weights.map(readHeader)),
            all = headers.flatMap(({ entries }) => entries);
        const shapes = new Map(all.map(({ name, shape }) => [name, shape])),
            made = byLayer(codings(core, converter, plan, shapes, folder)),
            replaced = new Set(made.map(({ module }) => `${module}.weight`)),
            copied = bySize(all.filter(({ name }) => !replaced.has(name)));
        const entries = made.flatMap((coding) => entriesOf(coding, folder)),
            last = bySize(entries.filter(({ isLast }) => isLast));
        const shards = shardsOf([...entries.filter(({ isLast }) => !isLast), ...copied, ...last], folder.shardBytes, {
            format: 'pt',
            ...headers[0].metadata,
        });
        const out = new FolderFiles(port, shards);
        const { config, configFile } = formatOf(folder);
        await writeDocuments(source, out, config(options, folder, unquantized(copied, plan)), configFile);
        if (shards.length > 1) await out.text('model.safetensors.index.json', indexOf(shards));
        const kept = new KeptTensors(copied),
            output = new FolderOutput(made, folder, out, kept);
        const meter = new Meter(port.progress),
            total = shards.reduce((sum, { bytes }) => sum + bytes, 0);
        let most = 0; // progress counts tensors that are made, then bytes that are written, and never goes back
        const tick = (/** @type {number} */ bytes) => {
            most = Math.max(most, bytes);
            meter.tick(most, total);
        };
        if (options.calibration === undefined)
            await roundToNearest(conversion, plan, options, port, output, tick, journal);
        else await calibrate(conversion, plan, options, port, output, journal, output);
        if (output.ranges.length > 0) port.ranges(output.ranges);
        await out.copy(copied, kept.changed, () => tick(out.written));
        for (const { name } of last) await out.tensor(output.release(name));
        meter.end(total, total);
    } finally {
        conversion.free();
    }
}

/** Layers in their order, so that they can be written as they are made. @param {Coding[]} coded */
const byLayer = (coded) => [...coded].sort((a, b) => layerOf(a.tensor.name) - layerOf(b.tensor.name));

/**
 * The modules whose matrices stay as they are, except embeddings. lm_head is named even if the files have none.
 * @param {Entry[]} copied
 * @param {Planned[]} plan
 */
function unquantized(copied, plan) {
    const ends = new Set(plan.filter(({ name }) => ENDS.test(name)).map(({ source }) => source));
    const modules = copied
        .filter(({ name, shape }) => shape.length === 2 && name.endsWith('.weight') && !ends.has(name))
        .map(({ name }) => name.slice(0, -'.weight'.length));
    return [...new Set(['lm_head', ...modules])];
}

/**
 * Writes config.json, and the files that stay as they are.
 * @param {import('../sources/open.js').Source} source
 * @param {FolderFiles} out
 * @param {object} quantization
 * @param {string} [configFile] a file that gets this, too
 */
async function writeDocuments(source, out, quantization, configFile) {
    for (const { name, source: file } of await otherFiles(source)) {
        const bytes = await readAll(file);
        if (bytes && name === 'config.json')
            await out.text(name, withQuantization(new TextDecoder().decode(bytes), quantization));
        else if (bytes) await out.whole(name, bytes);
    }
    if (configFile) await out.text(configFile, `${JSON.stringify(quantization, null, 2)}\n`);
}

/**
 * Makes matrices into tensors of a folder, and writes them layer by layer: a Maker and a Blocks (maker.js, blocks.js).
 */
class FolderOutput extends BlocksInMemory {
    /**
     * @param {Coding[]} made
     * @param {CheckedFolder} folder
     * @param {FolderFiles} out
     * @param {KeptTensors} kept
     */
    constructor(made, folder, out, kept) {
        super();
        this.kept = kept;
        this.inOrder = made;
        /** The matrices of each tensor: one, or one for each expert. @type {Map<string, Coding[]>} */
        this.codings = new Map();
        for (const coding of made) {
            const { name } = coding.tensor;
            this.codings.set(name, [...this.#of(name), coding]);
        }
        this.folder = folder;
        this.format = formatOf(folder);
        this.out = out;
        /** The ranges that static activations got. @type {import('../index.d.ts').ActivationRange[]} */
        this.ranges = [];
    }

    /**
     * Keeps a tensor that scales have changed; finish() has kept a quantized one.
     * @param {import('./blocks.js').Made} tensor
     */
    put({ name, bytes }) {
        if (!this.codings.has(name))
            this.kept.change(name, new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
    }

    /** @param {Quantizer} quantizer @param {import('./folding.js').Weights} tensor */
    canChange(quantizer, tensor) {
        return this.kept.find(quantizer, tensor);
    }

    isRemade() {
        return false;
    }

    /** @param {Planned} tensor */
    stored({ name }) {
        return this.kept.stored.get(name);
    }

    grid() {
        const { bits, group, symmetric, search } = this.folder;
        return { type: 0, bits, group, symmetric: symmetric ? 1 : 0, search };
    }

    /** @param {Planned} tensor */
    isWanted({ name }) {
        return this.codings.has(name);
    }

    /** @param {Quantizer} _ @param {Planned} tensor */
    bytesOf(_, { name }) {
        return this.#of(name)
            .flatMap((coding) => entriesOf(coding, this.folder))
            .reduce((sum, { bytes }) => sum + bytes, 0);
    }

    /** @param {string} name */
    #of(name) {
        return this.codings.get(name) ?? [];
    }

    /** @param {Quantizer} _ @param {Planned} tensor */
    room(_, { name }) {
        const parts = this.#of(name).map((coding) => this.format.room(coding, this.folder));
        return { to: parts[0].to, blocks: new Uint8Array(0), parts };
    }

    /** @param {Quantizer} quantizer @param {Planned} tensor @param {import('./inputs.js').Room} made */
    finish(quantizer, { name }, { parts = [] }) {
        for (const [i, coding] of this.#of(name).entries()) {
            this.#keep(quantizer, coding, parts[i]);
            const { found } = parts[i].input ?? {};
            if (found) this.ranges.push({ module: coding.module, ...found });
        }
        const { values: of } = this.format;
        if (!of) return { type: 'f32', bytes: new Uint8Array(0) }; // nothing is computed with it
        const values = parts.map(of);
        return { type: values[0].type, bytes: joined(values.map(({ bytes }) => bytes)) };
    }

    /** A format with a round() of its own is rounded by this thread alone. */
    get isSerial() {
        return this.format.round !== undefined;
    }

    /**
     * Rounds a tensor's matrices to nearest (nearest.js).
     * @param {Quantizer} quantizer
     * @param {Planned} tensor
     * @param {import('./nearest.js').Weights} all of them
     * @param {import('./inputs.js').Room} room which finish() gets then
     */
    async round(quantizer, { name, columns, rows, matrices }, { from, weights }, room) {
        const own = (/** @type {number} */ expert) => ({ from, weights: part(weights, expert, matrices) }),
            { parts = [] } = room,
            { round } = this.format;
        if (!round) {
            const jobs = parts.map((its, expert) => ({
                ...room,
                ...its,
                ...own(expert),
                name,
                rows,
                clips: false,
                firstRow: expert * rows,
            }));
            return quantizer.open(columns, null, (inputs) => inputs.quantize(jobs, async () => {}));
        }
        for (const [i, coding] of this.#of(name).entries())
            try {
                await round(quantizer, coding, own(i), parts[i], this.folder);
            } catch (error) {
                throw withName(error, `${coding.module}.weight`);
            }
    }

    /** @param {Quantizer} quantizer @param {Coding} coding @param {import('./inputs.js').Room} made */
    #keep(quantizer, coding, made) {
        for (const entry of entriesOf(coding, this.folder)) this.tensors.set(entry.name, entry.make(quantizer, made));
    }

    /** The bytes of a tensor, which is then forgotten. @param {string} name */
    release(name) {
        const bytes = this.tensors.get(name);
        if (!bytes)
            throw new NibbleError(
                'NB_ERR_UNSUPPORTED',
                `tensor ${name}: no matrix product of this model uses it, so nothing calibrates it: take method (--method) rtn`,
            );
        this.tensors.delete(name);
        return bytes;
    }

    /** Writes the layer. */
    async endLayer() {
        const layer = this.layers++;
        for (const coding of this.inOrder)
            if (layerOf(coding.tensor.name) === layer)
                for (const { name, isLast } of entriesOf(coding, this.folder))
                    if (!isLast) await this.out.tensor(this.release(name));
    }
}

/** @param {Uint8Array[]} parts */
function joined(parts) {
    if (parts.length === 1) return parts[0];
    const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
        all.set(part, at);
        at += part.length;
    }
    return all;
}
