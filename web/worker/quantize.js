/** quantize(): a model's files -> the pieces of one GGUF, whose weights are quantized while they pass through the
 * converter, or were before, with a calibration text. */
import { NB_TENSOR_BLANK, TYPES } from '../abi.js';
import { simulatedValue } from '../simulated.js';
import { severalFiles } from '../sources/folder.js';
import { BlocksInMemory } from './blocks.js';
import { calibrate } from './calibrate.js';
import { possibleThreads } from './choose-build.js';
import { giveRecipe, openConversion } from './convert.js';
import { makeIntegers } from './integer-maker.js';
import { refuseIntegers } from './integers.js';
import { nameOf } from './journal.js';
import { inputFiles, Meter } from './load-model.js';
import { OutlierBlocks } from './outliers.js';
import { Pieces } from './pieces.js';
import { planned, plannedTensors } from './planned.js';
import { quantizeFolder } from './quantize-folder.js';
import { openSideFile } from './side-file.js';
import { Simulation } from './simulation.js';
import { checkRules, rulesOf } from './type-rules.js';

/** @typedef {import('./blocks.js').Blocks} Blocks */
/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('../index.d.ts').PlannedTensor} PlannedTensor */
/** @typedef {import('./planned.js').Planned} Planned */

/**
 * @param {import('../sources/open.js').Source} source
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {object} port
 * @param {() => Promise<Uint8Array | null>} port.nextFromPort
 * @param {(progress: import('../index.d.ts').Progress) => void} port.progress
 * @param {(tensors: PlannedTensor[]) => void} port.planned
 * @param {(ranges: import('../index.d.ts').ActivationRange[]) => void} port.ranges
 * @param {(bytes: Uint8Array) => void} port.piece
 * @param {(name: string, size: number) => void} port.file of a folder: the next pieces are this file's
 * @param {() => Promise<void>} port.ready waits until the reader has nearly all pieces
 * @param {() => ArrayBuffer | undefined} port.spare the buffer of a piece that was read
 * @param {(port: MessagePort) => void} port.watch passes on the port by which a thread of a pool reports its failure
 * @param {import('./journal.js').Journal} [journal]
 */
export async function quantize(source, options, port, journal) {
    journal?.(`source: ${nameOf(source)}`);
    const files = await inputFiles(source, await severalFiles(source), port.nextFromPort);
    if (options.method === 'integer') return makeIntegers(files, options, port, journal);
    if (options.folder) return quantizeFolder(source, files, options, options.folder, port, journal);
    const conversion = await openConversion(
            files,
            { assets: options.assets, setUp: (core, converter) => giveRecipe(core, converter, options) },
            journal,
        ),
        { core, converter } = conversion;
    /** @type {Blocks} */
    let blocks = new BlocksInMemory();
    /** @type {Simulation | undefined} */
    let simulation;
    try {
        await conversion.readHeaders(port.ready);
        let tensors = plan(core, converter, options);
        if (options.simulate) simulation = await simulate(core, converter, options, options.simulate, tensors, port);
        port.planned(tensors.map(({ name, from, wanted, type }) => ({ name, from, wanted, type })));
        if (options.resume) blocks = await openSideFile(options.resume, tensors);
        if (options.method !== 'rtn') await calibrate(conversion, tensors, options, port, blocks, journal);
        if (options.outliers !== undefined) {
            const split = new OutlierBlocks(options.outliers, rulesOf(options, tensors));
            split.checkPlan(tensors);
            await calibrate(conversion, tensors, options, port, split, journal, split);
            for (const [i, n] of split.found) core.count('nb_converter_outliers', converter, i, n);
            tensors = plannedTensors(core, converter);
            blocks = split;
        }
        for (const { i, name } of tensors)
            if (blocks.has(name)) core.count('nb_converter_include', converter, i, NB_TENSOR_BLANK);
        const meter = new Meter((progress) =>
            port.progress(simulation ? { ...progress, clipped: simulation.clipped } : progress),
        );
        const out = new Pieces(
            port,
            (written) => meter.tick(written, core.exports.nb_converter_total(converter)),
            () => placed(blocks, tensors, ({ i }) => planned(core, converter, i)),
        );
        const rounded = simulation?.through(out, ({ i }) => planned(core, converter, i));
        await conversion.write(rounded ?? out);
        await rounded?.end();
        out.end();
        meter.end(out.written, out.written);
    } finally {
        blocks.close();
        simulation?.end();
        conversion.free();
    }
}

/**
 * Makes the rounder for the matrices whose types no option sets, and records in the GGUF what it does.
 * @param {Core} core
 * @param {number} converter
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {import('../simulated.js').CheckedSimulation} how
 * @param {Planned[]} tensors
 * @param {{ watch: (port: MessagePort) => void }} port
 */
async function simulate(core, converter, options, how, tensors, { watch }) {
    const { assets, type } = options,
        threads = await possibleThreads(options.threads),
        rules = rulesOf(options, tensors);
    const rounded = tensors.filter(
        ({ i, name }) =>
            !rules.some(([pattern]) => pattern.test(name)) &&
            core.count('nb_converter_choose', converter, i, TYPES[type]) === 1,
    );
    const simulation = await Simulation.start(assets, threads, watch, how, rounded);
    try {
        core.borrowText(simulatedValue(simulation.facts()), (at, length) =>
            core.count('nb_converter_simulated', converter, at, length),
        );
    } catch (error) {
        simulation.end();
        throw error;
    }
    return simulation;
}

/**
 * Blocks in the places that the GGUF has for them, in its order.
 * @param {Blocks} blocks
 * @param {Planned[]} tensors
 * @param {(tensor: Planned) => Planned} find where the GGUF has it
 * @returns {import('./pieces.js').Placed[]}
 */
const placed = (blocks, tensors, find) =>
    tensors
        .filter(({ name }) => blocks.has(name))
        .map((tensor) => {
            const { at, bytes } = find(tensor);
            return {
                at,
                end: at + bytes,
                read: (/** @type {number} */ from, /** @type {Uint8Array} */ room) =>
                    blocks.read(tensor.name, from, room),
            };
        })
        .sort((a, b) => a.at - b.at);

/**
 * Asks for the plan, and gives the tensors that the options name their types. The first pattern that fits a name
 * counts; the types of the output and of the token embedding take precedence.
 * @param {Core} core
 * @param {number} converter
 * @param {import('../protocol.js').QuantizeOptions} options
 * @returns {Planned[]}
 */
function plan(core, converter, options) {
    const all = plannedTensors(core, converter);
    refuseIntegers(all);
    const rules = rulesOf(options, all),
        changed = new Set();
    for (const { i, name } of all) {
        const rule = rules.find(([pattern]) => pattern.test(name));
        if (rule && core.count('nb_converter_choose', converter, i, TYPES[rule[1]]) === 1) changed.add(name);
    }
    checkRules(rules, all, changed);
    return plannedTensors(core, converter);
}
