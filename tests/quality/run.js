// Measures what quantizing costs. `make quality` quantizes models to every type by every method with nibble's command,
// compares them with the floating-point models, and writes build/quality.json and docs/quality.md.
//     NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE [NIBBLE_BASE=FOLDER] node tests/quality/run.js [MODEL ...]
// The two texts must differ. MODEL is base, smollm2 or minilm; all that are there, if none is given. The page keeps the
// sections of the other models, each with the command that made it.
// NIBBLE_TYPES=q4_0,q4_k_m limits the types, and NIBBLE_METHODS="gptq;recipe, best search" the methods; "q4_0 gptq"
// there is the method for this type only.
// NIBBLE_SAMPLES=N sets the number of calibration windows, and NIBBLE_THREADS=N the number of threads.
// Results are written after every few rows, and stay in build/quality until a model is done: the same command continues
// an interrupted run.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from '../../web/index.js';
import { nibble, once, remembered, root, twoTexts } from './command.js';
import { page, sectionsOf } from './page.js';

/** @typedef {import('./page.js').Row} Row */
/** @typedef {import('./page.js').Result} Result */

const COMMAND = 'make quality NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE NIBBLE_BASE=FOLDER';

const TYPES_WANTED = process.env.NIBBLE_TYPES?.split(',');
const METHODS_WANTED = process.env.NIBBLE_METHODS?.split(';');
/** Windows of the calibration text for GPTQ, AWQ and mixes. An importance matrix is collected over all of the text. */
const SAMPLES = process.env.NIBBLE_SAMPLES ?? '40';

/**
 * needs: 'imatrix', an importance matrix of the calibration text, or 'text', the text itself. slow: only for models
 * with fewer than SMALL weights, or if the method is named. bits: the budget of a mix, in place of a type.
 * @typedef {{ method: string, type: string, bits?: number, args?: string[], needs?: 'imatrix' | 'text',
 *     slow?: boolean }} Method
 */

const SMALL = 2e7;
/** Files that are made, compared and written down at a time. */
const BATCH = 6;
/** Types that are made with and without an importance matrix, by both searches. */
const TYPES = ['q6_k', 'q5_k_m', 'q4_k_m', 'q3_k_m', 'q2_k', 'iq4_xs', 'iq3_s'];
/** Types that need an importance matrix. */
const NEED_IMATRIX = ['iq2_s', 'iq2_xxs'];
const best = ['--search', 'best'];
/** Types of 4, 3 and 2 bits that are made by GPTQ and AWQ, too. */
const CALIBRATED = ['q4_0', 'q4_k_m', 'q3_k_m', 'q2_k', 'iq3_s', 'iq2_s'];
/** Bits per weight for which the automatic mix chooses types. */
const BITS = [3, 3.5, 4.5, 5.5];

/** To add a method, add a line here. @type {Method[]} */
const METHODS = [
    ...['q8_0', 'q5_0', 'q4_0', 'nf4'].map((type) => ({ method: 'round to nearest', type })),
    ...TYPES.flatMap((type) => [
        { method: 'recipe', type },
        { method: 'recipe, best search', type, args: best, slow: true },
    ]),
    { method: 'importance matrix', type: 'q4_0', needs: 'imatrix' },
    ...[...TYPES, ...NEED_IMATRIX].map((type) => ({
        method: 'recipe, importance matrix',
        type,
        needs: /** @type {const} */ ('imatrix'),
    })),
    ...[...TYPES, ...NEED_IMATRIX].map((type) => ({
        method: 'recipe, importance matrix, best search',
        type,
        args: best,
        needs: /** @type {const} */ ('imatrix'),
        slow: true,
    })),
    ...CALIBRATED.flatMap((type) =>
        ['awq', 'gptq', 'awq+gptq'].map((method) => ({
            method,
            type,
            args: ['--method', method],
            needs: /** @type {const} */ ('text'),
        })),
    ),
    ...CALIBRATED.map((type) => ({
        method: 'gptq, best search',
        type,
        args: ['--method', 'gptq', ...best],
        needs: /** @type {const} */ ('text'),
        slow: true,
    })),
    ...BITS.map((bits) => ({
        method: 'automatic mix',
        type: `${bits} bits`,
        bits,
        needs: /** @type {const} */ ('text'),
    })),
];

/** @type {{ name: string, title: string, path: string | undefined, requantize?: boolean, embeds?: boolean }[]} */
const MODELS = [
    {
        name: 'base',
        title: 'A Llama-shaped model of 5.8M weights in F32, never quantized',
        path: process.env.NIBBLE_BASE || undefined,
    },
    {
        name: 'smollm2',
        title: 'SmolLM2-135M-Instruct; its weights were Q4_1 once, which favours types with such grids',
        path: `${root}build/models/SmolLM2-135M-Instruct.Q4_1.gguf`,
        requantize: true,
    },
    {
        name: 'minilm',
        title:
            'all-MiniLM-L6-v2, F32. Its rows of 384 weights are not whole blocks of K-quants, so most matrices ' +
            'become Q4_0 to Q8_0',
        path: `${root}build/models/all-MiniLM-L6-v2`,
        embeds: true,
    },
];

/** Passages of the evaluation text that are embedded. */
const PASSAGES = 100;

/**
 * The methods that are measured for a model.
 * @param {typeof MODELS[0]} model
 * @param {number} parameters
 */
const methodsFor = ({ embeds }, parameters) =>
    // The automatic mix is not measured for encoders, which have no next token.
    METHODS.filter(
        ({ method, type, bits, slow }) =>
            (METHODS_WANTED?.some((wanted) => wanted === method || wanted === `${type} ${method}`) ??
                !(slow && parameters > SMALL)) &&
            !(bits && embeds) &&
            (TYPES_WANTED?.includes(type) ?? true),
    );

/**
 * @param {typeof MODELS[0]} model
 * @param {Method[]} methods
 * @param {string} folder for what is made
 * @param {string} calibration path of a text
 * @returns {{ method: Method, path: string, bitsPerWeight: number, seconds: number }[]}
 */
function quantizeAll({ path = '', requantize }, methods, folder, calibration) {
    const imatrix = join(folder, 'imatrix.gguf');
    once(imatrix, ['imatrix', path, '--file', calibration, '-o', imatrix]);
    return methods.map((method, i) => {
        const { type, bits, args = [], needs } = method,
            out = join(folder, `${i}.gguf`);
        const { bitsPerWeight, seconds } = once(out, [
            ...['quantize', path, out, ...(bits ? ['--bits', String(bits)] : ['--type', type]), ...args],
            ...(needs === 'imatrix' ? ['--imatrix', imatrix] : []),
            ...(needs === 'text' ? ['--calibration', calibration, '--samples', SAMPLES] : []),
            ...(requantize ? ['--requantize'] : []),
        ]);
        console.log(`  ${type}, ${method.method}: ${bitsPerWeight.toFixed(2)} bits, ${seconds.toFixed(1)} s`);
        return { method, path: out, bitsPerWeight, seconds };
    });
}

/**
 * @param {string} base
 * @param {ReturnType<typeof quantizeAll>} made
 * @param {string} evaluation path of a text
 * @returns {{ rows: Row[], perplexity: number, standardError: number, tokens: number }}
 */
function compareAll(base, made, evaluation) {
    const paths = made.map(({ path }) => path);
    const found = nibble('compare', base, ...paths, '--file', evaluation, '--no-speed');
    const rows = made.map(({ method, bitsPerWeight, seconds }, i) => {
        const { perplexity, standardError, divergence, sameTop, logRatio, weights } = found.models[i];
        const { mean, standardError: error, p99, byWindow } = divergence;
        return {
            method: method.method,
            type: method.type,
            bitsPerWeight,
            seconds,
            perplexity,
            standardError,
            logRatio,
            divergence: { mean, standardError: error, p99, byWindow },
            sameTop: sameTop.mean,
            weightError: weights.error,
        };
    });
    const { perplexity, standardError } = found.base;
    return { rows, perplexity, standardError, tokens: found.tokens };
}

/**
 * What the models' vectors of passages lose.
 * @param {string} base
 * @param {ReturnType<typeof quantizeAll>} made
 * @param {string} evaluation path of a text
 * @returns {{ rows: Row[] }}
 */
function compareEmbedded(base, made, evaluation) {
    const paths = made.map(({ path }) => path),
        flags = ['--passages', String(PASSAGES), '--no-speed', '--no-weights'];
    const found = nibble('compare', base, ...paths, '--file', evaluation, ...flags);
    const rows = made.map(({ method, bitsPerWeight, seconds }, i) => {
        const { distance, rankCorrelation } = found.models[i];
        return {
            method: method.method,
            type: method.type,
            bitsPerWeight,
            seconds,
            distances: distance.byPassage,
            rankCorrelation,
        };
    });
    return { rows };
}

/**
 * @param {typeof MODELS[0]} model
 * @param {Method[]} methods
 * @param {string} folder for what is made
 * @param {ReturnType<typeof twoTexts>} texts
 */
function measure(model, methods, folder, { calibration, evaluation }) {
    const compared = model.embeds ? compareEmbedded : compareAll;
    return compared(model.path ?? '', quantizeAll(model, methods, folder, calibration.path), evaluation.path);
}

/** @param {string[]} wanted */
async function main(wanted) {
    const texts = twoTexts(COMMAND),
        sizes = { calibration: texts.calibration.text.length, evaluation: texts.evaluation.text.length };
    for (const name of wanted)
        if (!MODELS.some((model) => model.name === name))
            throw new Error(`"${name}" is not one of base, smollm2, minilm`);
    mkdirSync(`${root}docs`, { recursive: true });
    const target = `${root}docs/quality.md`,
        sections = sectionsOf(existsSync(target) ? readFileSync(target, 'utf8') : '');
    /** @type {Result[]} */
    const results = [];
    for (const model of MODELS) {
        const { name, title, path } = model;
        if (wanted.length > 0 && !wanted.includes(name)) continue;
        if (!path || !existsSync(path)) {
            console.log(`${name}: left out, ${path ? 'it is not there' : 'NIBBLE_BASE is not set'}`);
            continue;
        }
        console.log(name);
        const header = await load(path, { headerOnly: true });
        const methods = methodsFor(model, header.info.parameters);
        await header.dispose();
        const folder = `${root}build/quality/${name}`;
        mkdirSync(folder, { recursive: true });
        /** @type {Result} */
        const result = { name, title, command: commandFor(name), sizes, rows: [] };
        results.push(result);
        for (let i = 0; i < methods.length; i += BATCH) {
            const batch = methods.slice(i, i + BATCH),
                key = { path, batch, texts, SAMPLES };
            const { rows, ...found } = remembered(join(folder, `rows-${i}.json`), key, () =>
                measure(model, batch, folder, texts),
            );
            Object.assign(result, found);
            result.rows.push(...rows);
            writeFileSync(`${root}build/quality.json`, `${JSON.stringify(results, null, 1)}\n`);
            writeFileSync(target, page(MODELS, results, sections));
        }
        rmSync(folder, { recursive: true });
    }
}

/** @param {string} name of a model */
const commandFor = (name) =>
    [
        COMMAND,
        ...['NIBBLE_TYPES', 'NIBBLE_METHODS', 'NIBBLE_SAMPLES'].flatMap((key) =>
            process.env[key] ? [`${key}=${quoted(process.env[key])}`] : [],
        ),
        `MODELS=${name}`,
    ].join(' ');

/** Quotes a value for the shell, if necessary. @param {string} value */
const quoted = (value) => (/[ ;]/.test(value) ? `"${value}"` : value);

await main(process.argv.slice(2));
