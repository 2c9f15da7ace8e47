// What each number of bits costs by each method: `make quality-headline` quantizes a floating-point model in every way,
// lets scales learn, trains for the types, compares all of them with the model in 16 bits, and writes
// build/headline.json and the model's part of docs/headline.md.
//     NIBBLE_BASE=MODEL NIBBLE_TRAINING=FILE NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE
//         node tests/quality/headline.js [METHOD ...]
// The calibration text may be a part of the training text; the evaluation text must be another. METHOD: some of the
// words in METHODS below, such as gptq; all of them, if none is named. NIBBLE_NAME=NAME names the model on the page.
// NIBBLE_STEPS=N sets the number of steps, of training and of tuning scales, NIBBLE_BATCH=N the sequences of a batch,
// NIBBLE_LENGTH=N the tokens of a sequence, NIBBLE_RATE=R the learning rate of training, NIBBLE_SAMPLES=N the number of
// calibration windows, and NIBBLE_THREADS=N the number of threads.
// The models stay in build/headline until all are done, so the same command continues an interrupted run. The METHOD
// "speed" measures only the speed again, for the results in build/headline.json.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { withError } from '../../web/report/with-error.js';
import { nibble, once, root, textOf } from './command.js';
import { ratesOf } from './rates-in-page.js';
import { ratio } from './ratio.js';

/** @typedef {{ mean: number, standardError: number }} Mean */
/** A model that was made. @typedef {{ bits: string, type: string, method: string, out: string, bytes: number }} Made */
/** @typedef {Made & { perplexity: number, logRatio: Mean, divergence: Mean, sameTop: number }} Row */
/** Tokens per second of a type. @typedef {{ type: string, prompt: number, generate: number }} Speed */
/**
 * What build/headline.json has. settings: what the run was told. lengths: of the texts, in characters. refused: what
 * was left out, and why.
 * @typedef {{ name: string, command: string, settings: Record<'steps' | 'batch' | 'length' | 'samples', string>,
 *     parameters: number, lengths: Record<string, number>, refused: string[],
 *     rows: Row[], tokens: number, base: { perplexity: number, standardError: number }, speeds: Speed[] }} Results
 */

const COMMAND =
        'make quality-headline NIBBLE_BASE=MODEL NIBBLE_TRAINING=FILE NIBBLE_CALIBRATION=FILE NIBBLE_EVALUATION=FILE',
    KEYS = ['STEPS', 'BATCH', 'LENGTH', 'RATE', 'SAMPLES', 'NAME'].map((key) => `NIBBLE_${key}`),
    { NIBBLE_STEPS: STEPS = '300', NIBBLE_BATCH: BATCH = '8', NIBBLE_LENGTH: LENGTH = '256' } = process.env,
    { NIBBLE_RATE: RATE = '0.0003', NIBBLE_SAMPLES: SAMPLES = '128' } = process.env;

/** Of the layers' matrices; the token embedding and the output are Q8_0 in all files. */
const TYPES = [
    { bits: 'INT8', type: 'q8_0' },
    { bits: 'INT4', type: 'q4_0' },
    { bits: 'INT4', type: 'q4_k' },
    { bits: 'INT3', type: 'q3_k' },
    { bits: 'INT2', type: 'q2_k' },
    { bits: 'ternary', type: 'tq2_0' },
];

/** Names of the methods on the page, in its order, by their names in a command. @type {Record<string, string>} */
const METHODS = {
    rtn: 'round to nearest',
    search: 'best search',
    awq: 'AWQ',
    gptq: 'GPTQ',
    autoround: 'AutoRound',
    'tuned-rtn': 'round to nearest, scales tuned',
    'tuned-gptq': 'GPTQ, scales tuned',
    qat: 'trained for it',
    'qat-teacher': 'trained for it, by the base as a teacher',
};
const FOLDER = `${root}build/headline`,
    RESULTS = `${root}build/headline.json`;
/** A method refuses a type. Such a line is left out, and the page says so; any other error ends the run. */
const REFUSED = /does not round to|not whole blocks/;

/** A value as one word of a shell. @param {string | undefined} value */
const inShell = (value = '') => (/^[\w.]+$/.test(value) ? value : JSON.stringify(value));

/**
 * @param {string} base
 * @param {{ training: string, calibration: string }} texts paths
 */
function maker(base, { training, calibration }) {
    const text = ['--calibration', calibration, '--samples', SAMPLES],
        learn = [
            ...['--data', training, '--special', '--steps', STEPS, '--batch', BATCH],
            ...['--length', LENGTH, '--seed', '1'],
        ],
        file = (/** @type {string} */ type, /** @type {string} */ method) => join(FOLDER, `${type}-${method}.gguf`);
    const quantize = (/** @type {string} */ type, /** @type {string} */ out, /** @type {string[]} */ ...more) =>
        once(out, ['quantize', base, out, '--type', 'q8_0', '--tensor', `blk\\.=${type}`, ...more]);
    const train = (/** @type {string} */ out, /** @type {string[]} */ ...more) =>
        once(out, ['train', '--init', base, '-o', out, ...learn, '--rate', RATE, ...more]);
    /** Tunes the file of another method, which is made first if it is not there. */
    const tune = (/** @type {string} */ type, /** @type {string} */ out, /** @type {string} */ method) => {
        const coded = file(type, method);
        ways[method](type, coded);
        return once(out, ['tune', coded, '--teacher', base, '-o', out, ...learn]);
    };
    /** @type {Record<string, (type: string, out: string) => any>} */
    const ways = {
        rtn: (type, out) => quantize(type, out),
        search: (type, out) => quantize(type, out, '--search', 'best'),
        awq: (type, out) => quantize(type, out, '--method', 'awq', ...text),
        gptq: (type, out) => quantize(type, out, '--method', 'gptq', ...text),
        autoround: (type, out) => quantize(type, out, '--method', 'autoround', ...text),
        'tuned-rtn': (type, out) => tune(type, out, 'rtn'),
        'tuned-gptq': (type, out) => tune(type, out, 'gptq'),
        qat: (type, out) => train(out, '--qat', type),
        'qat-teacher': (type, out) => train(out, '--qat', type, '--teacher', base),
    };
    /** @param {{ bits: string, type: string }} what @param {string} method @returns {Made | string} or why not */
    const make = ({ bits, type }, method) => {
        const out = file(type, method);
        try {
            const { seconds } = ways[method](type, out);
            console.log(`${type}, ${METHODS[method]}: ${seconds} s`);
            return { bits, type, method, out, bytes: statSync(out).size };
        } catch (error) {
            const told = String(error).trim().split('\n').at(-1) ?? '';
            if (!REFUSED.test(told)) throw error;
            console.log(`${type}, ${METHODS[method]}: left out, ${told}`);
            return `${type}, ${METHODS[method]}: ${told.replace(/^nibble: /, '')}`;
        }
    };
    const half = join(FOLDER, 'f16.gguf'),
        longer = join(FOLDER, 'trained.gguf');
    return {
        make,
        /** The base in 16 bits, whose size and speed are those to compare with. @returns {Made} */
        half: () => {
            once(half, ['quantize', base, half, '--type', 'f16']);
            return { bits: 'FP16', type: 'f16', method: '', out: half, bytes: statSync(half).size };
        },
        /** The fair baseline of those that are trained: as long, without any rounding. @returns {Made} */
        longer: () => {
            train(longer);
            return { bits: 'F32', type: 'f32', method: 'trained as long', out: longer, bytes: statSync(longer).size };
        },
    };
}

/**
 * @param {Made[]} made
 * @param {string} base
 * @param {string} evaluation
 */
function measure(made, base, evaluation) {
    const outs = made.map(({ out }) => out),
        found = nibble('compare', base, ...outs, '--file', evaluation, '--no-speed', '--no-weights');
    /** @type {Row[]} */
    const rows = made.map((row, i) => {
        const { perplexity, logRatio, divergence, sameTop } = found.models[i];
        return { ...row, perplexity, logRatio, divergence, sameTop: sameTop.mean };
    });
    return { rows, tokens: found.tokens, base: found.base };
}

/**
 * The speed of each type: it does not depend on the method.
 * @param {ReturnType<typeof maker>} makes
 * @returns {Promise<Speed[]>}
 */
async function measureSpeeds({ half, make }) {
    const made = [half(), ...TYPES.map((type) => make(type, 'rtn')).filter((made) => typeof made !== 'string')],
        rates = await ratesOf(made.map(({ out }) => out));
    return made.map(({ type }, i) => ({ type, ...rates[i] }));
}

const count = (/** @type {number} */ n) => n.toLocaleString('en');

/** @param {Row} row @param {number} parameters */
const line = (row, parameters) =>
    `| ${[
        row.bits,
        row.type,
        METHODS[row.method] ?? row.method,
        count(row.bytes),
        ((8 * row.bytes) / parameters).toFixed(2),
        row.perplexity.toFixed(3),
        ratio(row.logRatio),
        withError(row.divergence.mean, row.divergence.standardError),
        (100 * row.sameTop).toFixed(1),
    ].join(' | ')} |`;

/** @param {Speed} speed @param {Speed} half */
const speedLine = ({ type, prompt, generate }, half) =>
    `| ${type} | ${(prompt / half.prompt).toFixed(2)} | ${(generate / half.generate).toFixed(2)} |`;

const HEAD = `# What each number of bits costs

Written by tests/quality/headline.js; do not edit it. In each file the layers' matrices are of the type that is named,
and the token embedding and the output are Q8_0. Size and bits per weight are those of the whole file. "Above the base"
is the perplexity over that of the floating-point model, on a text that no method has seen; ± is one standard error,
paired over the windows of the text. KL is the divergence from the base, in nats, and "same top" how often the
likeliest token is the same. "Scales tuned" is \`nibble tune\` with the base as the teacher, "trained for it"
\`nibble train --qat TYPE\`, and "trained as long" the base after as many steps without rounding: what the same time of
training gives a model in floating point.

The speed of a type does not depend on the method: it is that of a prompt of 128 tokens, and of generation, in Chromium
with one thread, over that of the same model in FP16.
`;

/** The part of one model. @param {Results} results */
const section = ({ name, command, settings, parameters, lengths, refused, rows, tokens, base, speeds }) => `
## ${name}

    ${command}

- parameters: ${count(parameters)}
- perplexity of the base: ${base.perplexity.toFixed(3)} ± ${base.standardError.toFixed(3)}
- evaluation: ${count(tokens)} tokens (${count(lengths.evaluation)} characters)
- training and tuning: ${settings.steps} steps of ${settings.batch} sequences of ${settings.length} tokens, of a text of
  ${count(lengths.training)} characters
- calibration: ${settings.samples} windows of a text of ${count(lengths.calibration)} characters

| bits | type | method | bytes | bits per weight | perplexity | above the base, % | mean KL | \
same top, % |
|---|---|---|---:|---:|---:|---:|---:|---:|
${rows.map((row) => line(row, parameters)).join('\n')}

| type | prompt, times FP16 | generation, times FP16 |
|---|---:|---:|
${speeds.map((speed) => speedLine(speed, speeds[0])).join('\n')}
${refused.length > 0 ? `\nLeft out:\n\n${refused.map((told) => `- ${told}`).join('\n')}\n` : ''}`;

/**
 * Writes build/headline.json, and the model's part of the page; the parts of other models stay.
 * @param {Results} results
 */
function writeResults(results) {
    const target = `${root}docs/headline.md`;
    writeFileSync(RESULTS, `${JSON.stringify(results, null, 1)}\n`);
    const others = (existsSync(target) ? readFileSync(target, 'utf8') : '')
        .split(/^(?=## )/m)
        .slice(1)
        .filter((part) => !part.startsWith(`## ${results.name}\n`))
        .map((part) => `\n${part.trimEnd()}\n`);
    writeFileSync(target, `${HEAD}${[...others, section(results)].join('')}`);
    console.log('docs/headline.md is written');
}

/** @param {string[]} wanted methods */
async function main(wanted) {
    const base = process.env.NIBBLE_BASE;
    if (!base) throw new Error(`NIBBLE_BASE is not set: it must name a floating-point model. ${COMMAND}`);
    const name = process.env.NIBBLE_NAME ?? basename(base);
    mkdirSync(FOLDER, { recursive: true });
    if (wanted.includes('speed')) {
        if (wanted.length > 1) throw new Error('"speed" goes with no other method: it measures the last results again');
        /** @type {Results} */
        const results = JSON.parse(readFileSync(RESULTS, 'utf8'));
        if (results.name !== name)
            throw new Error(
                `${RESULTS} has the results of ${results.name}, and NIBBLE_NAME or NIBBLE_BASE says ${name}`,
            );
        writeResults({ ...results, speeds: await measureSpeeds(maker(base, { training: '', calibration: '' })) });
        return;
    }
    const [training, calibration, evaluation] = ['TRAINING', 'CALIBRATION', 'EVALUATION'].map((name) =>
        textOf(`NIBBLE_${name}`, COMMAND),
    );
    if ([training.text, calibration.text].includes(evaluation.text))
        throw new Error('the evaluation text must be another than those that models learn from');
    for (const method of wanted)
        if (!(method in METHODS)) throw new Error(`${method} is none of ${Object.keys(METHODS).join(', ')} and speed`);
    const methods = Object.keys(METHODS).filter((method) => wanted.length === 0 || wanted.includes(method)),
        makes = maker(base, { training: training.path, calibration: calibration.path }),
        all = TYPES.flatMap((type) => methods.map((method) => makes.make(type, method))),
        made = [makes.half(), ...(methods.some((method) => method.startsWith('qat')) ? [makes.longer()] : [])];
    made.push(...all.filter((made) => typeof made !== 'string'));
    const found = measure(made, base, evaluation.path),
        given = KEYS.flatMap((key) => (process.env[key] ? [` ${key}=${inShell(process.env[key])}`] : [])).join('');
    writeResults({
        name,
        settings: { steps: STEPS, batch: BATCH, length: LENGTH, samples: SAMPLES },
        command: `${COMMAND}${given}${wanted.length > 0 ? ` METHODS="${wanted.join(' ')}"` : ''}`,
        parameters: nibble('inspect', base).parameters,
        lengths: {
            training: training.text.length,
            calibration: calibration.text.length,
            evaluation: evaluation.text.length,
        },
        refused: all.filter((made) => typeof made === 'string'),
        ...found,
        speeds: await measureSpeeds(makes),
    });
    rmSync(FOLDER, { recursive: true });
}

await main(process.argv.slice(2));
