/** `nibble quantize`: a model's files -> one GGUF file, or a folder. */
import { rm } from 'node:fs/promises';
import { quantizedPieces } from '../api/quantize.js';
import { isDebugAsked } from '../debug.js';
import { why } from '../errors.js';
import { load, NibbleError, quantizeFolder } from '../index.js';
import { FOLDER_OPTIONS, QUANTIZE_OPTIONS } from '../quantize-options.js';
import { bitsPerWeight, describeSimulated, simulatedOf, simulateOf } from '../simulated.js';
import { describeSource } from '../sources/describe.js';
import { otherFiles } from '../sources/folder.js';
import { checkOut, checkOutFolder, readInput, weightBytes, writeFolder, writeWhole } from './files.js';
import { ofModel, pick, printLine, progressLine, quantizingPhases, tenths } from './open-model.js';
import { oneLine, write, writeJson, writeStatus } from './terminal.js';
import { readText } from './text-file.js';

/** @typedef {import('./usage.js').Command} Command */
/** @typedef {import('../index.d.ts').PlannedTensor} PlannedTensor */
/** @typedef {import('../index.d.ts').ActivationRange} ActivationRange */

/** @type {Command['run']} */
export async function commandQuantize(args, signal) {
    await (args.values.format === undefined ? makeGguf(args, signal) : makeFolder(args, signal));
}

/** @param {AbortSignal} signal */
function common(signal) {
    const doingOf = quantizingPhases();
    return {
        signal,
        debug: isDebugAsked() && printLine,
        onProgress: process.stderr.isTTY
            ? (/** @type {import('../index.d.ts').Progress} */ progress) =>
                  writeStatus(progressLine(doingOf(progress), progress))
            : tenths(doingOf),
    };
}

/**
 * Runs `act`, and puts the model's name into errors about the model.
 * @param {string} model
 * @param {() => Promise<void>} act
 */
async function named(model, act) {
    try {
        await act();
    } catch (error) {
        throw ofModel(model, error);
    } finally {
        if (process.stderr.isTTY) writeStatus('');
    }
}

/** @type {Command['run']} */
async function makeFolder({ model, out = '', values }, signal) {
    const began = performance.now();
    await checkOutFolder(out, values.force, [model, values.calibration], async () =>
        // if the source cannot be read, the error comes later, when it is read
        (await otherFiles((await describeSource(model)).plain).catch(() => [])).map(({ name }) => name),
    );
    /** @type {ActivationRange[]} */
    let ranges = [];
    const files = quantizeFolder(model, {
        ...pick(FOLDER_OPTIONS, values),
        calibration: values.calibration === undefined ? undefined : await readText('--calibration', values.calibration),
        ...common(signal),
        onRanges: (found) => {
            ranges = found;
        },
    });
    await named(model, () => writeFolder(files, out, values.force));
    const original = await load(model, { headerOnly: true, signal }),
        { architecture, parameters } = original.info,
        bytes = await weightBytes(out);
    await original.dispose();
    const facts = {
        out,
        format: values.format,
        architecture,
        bytes,
        parameters,
        bitsPerWeight: (bytes * 8) / parameters,
        seconds: (performance.now() - began) / 1000,
        ...(ranges.length > 0 && { ranges }),
    };
    if (values.json) writeJson(facts);
    else
        write(
            `${oneLine(out)}: ${facts.format}, ${bytes.toLocaleString('en')} bytes of weights, ` +
                `${parameters.toLocaleString('en')} parameters, ${facts.bitsPerWeight.toFixed(2)} bits per weight, ` +
                `${facts.seconds.toFixed(1)} s\n${rangesLine(ranges)}`,
        );
}

/** One line for all ranges. @param {ActivationRange[]} ranges */
function rangesLine(ranges) {
    if (ranges.length === 0) return '';
    const ends = ranges.map(({ low, high }) => Math.max(-low, high)),
        clipped = ranges.reduce((sum, range) => sum + range.clipped, 0) / ranges.length,
        percent = (/** @type {number} */ share) => `${(100 * share).toPrecision(2)} %`;
    return (
        `  activations  ${ranges.length} ranges, to ${Math.min(...ends).toPrecision(3)} ... ` +
        `${Math.max(...ends).toPrecision(3)}; ${percent(clipped)} of the inputs clipped, at most ` +
        `${percent(Math.max(...ranges.map((range) => range.clipped)))} of a matrix (--json lists them)\n`
    );
}

/** @type {Command['run']} */
async function makeGguf({ model, out = '', values }, signal) {
    const began = performance.now();
    await checkOut(out, ['.gguf'], values.force, [model, values.imatrix, values.calibration]);
    const calibration =
        values.calibration === undefined ? undefined : await readText('--calibration', values.calibration);
    const imatrix = values.imatrix === undefined ? undefined : await readInput('--imatrix', values.imatrix);
    /** @type {PlannedTensor[]} */
    let plan = [];
    /** @type {import('../index.d.ts').TypeChoice | undefined} */
    let choice;
    let clipped = 0;
    const { stderr } = process,
        simulate = simulateOf(values),
        shared = common(signal);
    const pieces = quantizedPieces(model, {
        ...pick(QUANTIZE_OPTIONS, values),
        ...(simulate && { simulate, bits: undefined }),
        type: values.type,
        imatrix,
        calibration,
        resume: values.resume ? partOf(out) : undefined,
        ...shared,
        onProgress: (progress) => {
            clipped = progress.clipped ?? 0;
            shared.onProgress(progress);
        },
        onPlan: (tensors, chosen) => {
            plan = tensors;
            choice = chosen;
        },
    });
    await named(model, () => writeWhole(pieces, out, values.force));
    if (values.resume) await removePart(out);
    const fallbacks = plan.filter(({ wanted, type }) => wanted !== type);
    if (!values.json) tellFallbacks(fallbacks);
    const made = await load(out, { headerOnly: true, signal }),
        { bytes, parameters, types, architecture } = made.info,
        onlyNibble = whyOnlyNibble(made.info);
    await made.dispose();
    const simulated = gridFacts(made.info, clipped);
    if (onlyNibble && !values.json)
        write(`nibble: llama.cpp does not read this file as nibble does: ${oneLine(onlyNibble)}\n`, stderr);
    const facts = {
        out,
        type: values.type ?? (values.method === 'integer' ? 'integer' : simulated ? 'f32' : 'mix'),
        architecture,
        bytes,
        parameters,
        bitsPerWeight: (bytes * 8) / parameters,
        seconds: (performance.now() - began) / 1000,
        types,
        fallbacks,
        ...(simulated && { simulated }),
        ...(choice && mixtureOf(plan, made.info, choice)),
        ...(values.outliers !== undefined && { outliers: outliersIn(made.info) }),
        onlyNibble,
    };
    if (values.json) writeJson(facts);
    else
        write(
            summaryOf(facts) +
                (choice ? choiceLines(facts) : '') +
                (simulated ? simulatedLine(simulated) : '') +
                (facts.outliers ? outlierLines(facts.outliers, values.outliers) : ''),
        );
}

/**
 * For each kind of matrix: how many columns stay in 16 bits in all layers together, of how many, and in how many layers
 * there is one.
 * @param {import('../index.d.ts').ModelInfo} info
 */
function outliersIn({ tensors }) {
    /** @type {Map<string, { kind: string, columns: number, of: number, layers: number }>} */
    const kinds = new Map();
    const counts = new Map(tensors.map(({ name, shape }) => [name, shape[0]]));
    for (const { name, type, shape } of tensors) {
        const [, kind] = /^blk\.\d+\.(.+)\.weight$/.exec(name) ?? [];
        if (kind === undefined || type !== 'Q8_0') continue;
        const found = kinds.get(kind) ?? { kind, columns: 0, of: 0, layers: 0 },
            columns = counts.get(name.replace(/weight$/, 'outlier_columns')) ?? 0;
        found.columns += columns;
        found.of += shape[0];
        if (columns > 0) found.layers++;
        kinds.set(kind, found);
    }
    return [...kinds.values()];
}

/** @param {ReturnType<typeof outliersIn>} kinds @param {number} threshold */
function outlierLines(kinds, threshold) {
    if (kinds.every(({ columns }) => columns === 0))
        return `No input reached ${threshold}: all columns have 8 bits, and the file is as without --outliers.\n`;
    return kinds
        .map(
            ({ kind, columns, of, layers }) =>
                `  ${kind.padEnd(14)}${String(columns).padStart(7)} of ${of} columns in 16 bits, in ${layers} layers\n`,
        )
        .join('');
}

/**
 * The grid that weights were rounded to. clipped: the share that lay outside its ranges.
 * @param {import('../index.d.ts').ModelInfo} info
 * @param {number} clipped weights
 */
function gridFacts(info, clipped) {
    const simulated = simulatedOf(info);
    return (
        simulated && {
            ...simulated,
            bitsPerWeight: bitsPerWeight(info),
            clipped: simulated.weights > 0 ? clipped / simulated.weights : 0,
        }
    );
}

/** @param {NonNullable<ReturnType<typeof gridFacts>>} simulated */
const simulatedLine = (simulated) =>
    `  simulated: ${describeSimulated(simulated)}; with the codes of such a grid the file would have ` +
    `${simulated.bitsPerWeight.toFixed(2)} bits per weight${
        simulated.ranges === 'minmax' ? '' : `; ${(100 * simulated.clipped).toFixed(2)} % of the weights are clipped`
    }\n`;

/** The file that keeps the layers that are done, until the GGUF is written. @param {string} out */
const partOf = (out) => `${out}.part`;

/** @param {string} out which is written */
async function removePart(out) {
    try {
        await rm(partOf(out), { force: true }); // it is not there if nothing was kept
    } catch (error) {
        throw new NibbleError('NB_ERR_FILE', `${out} is written, but ${partOf(out)} cannot be removed: ${why(error)}`, {
            cause: error,
        });
    }
}

/**
 * The choice under a budget. divergence: the predicted mean KL divergence from the original model, in nats.
 * cosine: of an encoder, the predicted mean cosine of embeddings to the original's. Each is null if it was not
 * measured.
 * @param {PlannedTensor[]} plan
 * @param {import('../index.d.ts').ModelInfo} info
 * @param {import('../index.d.ts').TypeChoice} choice
 */
function mixtureOf(plan, { tensors }, { isMeasured, measure, chosenBy }) {
    const total = plan.reduce((sum, { loss }) => sum + (loss ?? 0), 0);
    return {
        isMeasured,
        chosenBy,
        divergence: isMeasured && measure === 'divergence' ? total : null,
        cosine: isMeasured && measure === 'cosine' ? 1 - total : null,
        plan: plan.map(({ name, from, type, loss }) => {
            const { bytes = 0, shape = [] } = tensors.find((tensor) => tensor.name === name) ?? {};
            return {
                name,
                from,
                type,
                bits: (8 * bytes) / shape.reduce((product, side) => product * side, 1),
                lossShare: typeof loss === 'number' && total > 0 ? loss / total : null,
            };
        }),
    };
}

/** @param {{ divergence?: number | null, cosine?: number | null, chosenBy?: string }} facts */
function choiceLines({ divergence, cosine, chosenBy }) {
    const isNumber = (/** @type {unknown} */ x) => typeof x === 'number';
    const predicted = [
        isNumber(divergence) && `KL divergence from the original: ${divergence?.toPrecision(3)} nats`,
        isNumber(cosine) && `cosine of embeddings to those of the original: ${cosine?.toFixed(6)}`,
    ].flatMap((said) => (said ? `Predicted ${said}.\n` : []));
    return `The types were chosen by ${chosenBy}.\n${predicted.join('')}`;
}

/** Why llama.cpp cannot read the file, or computes something else; null if it does the same.
 * @param {import('../index.d.ts').ModelInfo} info */
function whyOnlyNibble({ types, metadata }) {
    const own = types.find(({ type }) => /^(NF4|FP4|F8_)/.test(type)),
        said = metadata['nibble.only'];
    return own ? `it has no type ${own.type}` : typeof said === 'string' ? said : null;
}

/** One line for each pair of types. @param {PlannedTensor[]} fallbacks */
function tellFallbacks(fallbacks) {
    /** @type {Map<string, string[]>} */
    const pairs = new Map();
    for (const { name, wanted, type } of fallbacks) {
        const line = `${type}, as rows are no whole blocks of ${wanted}`;
        pairs.set(line, [...(pairs.get(line) ?? []), name]);
    }
    for (const [line, [first, ...others]] of pairs)
        write(
            `nibble: ${oneLine(first)}${others.length > 0 ? ` and ${others.length} more become` : ' becomes'} ${line}\n`,
            process.stderr,
        );
}

/** @param {{ out: string, type: string, bytes: number, parameters: number, bitsPerWeight: number, seconds: number,
 *     types: import('../index.d.ts').ModelInfo['types'] }} facts */
const summaryOf = ({ out, type, bytes, parameters, bitsPerWeight, seconds, types }) =>
    `${oneLine(out)}: ${type}, ${bytes.toLocaleString('en')} bytes, ${parameters.toLocaleString('en')} parameters, ` +
    `${bitsPerWeight.toFixed(2)} bits per weight, ${seconds.toFixed(1)} s\n${types
        .map(
            (entry) =>
                `  ${entry.type.padEnd(8)}${String(entry.tensors).padStart(5)} tensors${entry.bytes
                    .toLocaleString('en')
                    .padStart(16)} bytes\n`,
        )
        .join('')}`;
