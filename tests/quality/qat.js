// Measures what quantization-aware training gains. `make quality-qat` trains a model further in several ways: in F32,
// with weights that are rounded in each pass, and with a teacher, all with the same text and steps. It compares the
// results, and writes build/qat.json and docs/qat.md.
//     NIBBLE_TRAINING=FILE NIBBLE_EVALUATION=FILE NIBBLE_BASE=MODEL node tests/quality/qat.js [WAY ...]
// The two texts must differ. WAY is a type, such as q4_0, or "gradients"; all of them, if none is given. NIBBLE_STEPS=N
// sets the number of steps, NIBBLE_RATE=R the learning rate, NIBBLE_BATCH=N the sequences of a batch, NIBBLE_LENGTH=N
// the tokens of a sequence, and NIBBLE_THREADS=N the number of threads.
// Trained models stay in build/qat until all are done, so the same command continues an interrupted run.
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withError } from '../../web/report/with-error.js';
import { nibble, once, root, textOf } from './command.js';
import { ratio } from './ratio.js';

/** @typedef {{ mean: number, standardError: number }} Mean */
/** A trained or rounded model. out: its file. held: the loss of the held-out part of the training text.
 * @typedef {{ type: string, way: string, out: string, bitsPerWeight: number, held?: number, seconds: number }} Made */
/** @typedef {Made & { perplexity: number, standardError: number, logRatio?: Mean, divergence: Mean, sameTop: number }}
 *     Row */

const COMMAND = 'make quality-qat NIBBLE_TRAINING=FILE NIBBLE_EVALUATION=FILE NIBBLE_BASE=MODEL',
    { NIBBLE_STEPS: STEPS = '300', NIBBLE_RATE: RATE = '0.0001', NIBBLE_BATCH: BATCH = '8' } = process.env,
    { NIBBLE_LENGTH: LENGTH = '128' } = process.env,
    SETTINGS = ['NIBBLE_STEPS', 'NIBBLE_RATE', 'NIBBLE_BATCH', 'NIBBLE_LENGTH'].flatMap((name) =>
        process.env[name] ? [` ${name}=${process.env[name]}`] : [],
    ),
    FLAGS = ['--steps', STEPS, '--rate', RATE, '--batch', BATCH, '--length', LENGTH, '--validation', '0.05'],
    VALIDATE = ['--validate-every', STEPS, '--seed', '1'];

/** Types of 8, 4, 3 and 2 bits, and ternary. */
const TYPES = ['q8_0', 'q4_0', 'q4_k', 'q3_k', 'q2_k', 'q2_0', 'tq2_0'];

/** Weights and activations in 8 bits, with gradients in F32 and in 8 bits. @type {[string, string[]][]} */
const IN_8_BITS = [
    ['trained, inputs in 8 bits', ['--qat', 'q8_0', '--qat-activations', '8']],
    ['trained, inputs and gradients in 8 bits', ['--qat', 'q8_0', '--qat-activations', '8', '--qat-gradients', '8']],
];

/**
 * @param {string} folder
 * @param {string} base
 * @param {string} training
 */
function maker(folder, base, training) {
    let parameters = 0;
    const bits = (/** @type {string} */ out) => (8 * statSync(out).size) / parameters;
    /**
     * @param {string} name
     * @param {string} type
     * @param {string} way
     * @param {string[]} more flags
     * @returns {Made | undefined} undefined: the model's rows are no whole blocks of the type
     */
    const train = (name, type, way, more) => {
        const out = join(folder, `${name}.gguf`),
            kept = ['--checkpoint', `${out}.checkpoint`, '--resume'];
        try {
            const found = once(out, [
                ...['train', '--init', base, '--data', training, '-o', out, ...FLAGS, ...VALIDATE, ...kept, ...more],
            ]);
            rmSync(`${out}.checkpoint`, { force: true });
            parameters = found.parameters;
            console.log(`${type}, ${way}: loss of the held-out text ${found.validationLoss}, ${found.seconds} s`);
            return {
                type,
                way,
                out,
                bitsPerWeight: bits(out),
                held: found.validationLoss ?? undefined,
                seconds: found.seconds,
            };
        } catch (error) {
            if (!/not whole blocks/.test(String(error))) throw error;
            console.log(`${type}, ${way}: left out, ${String(error).trim().split('\n').at(-1)}`);
        }
    };
    /** Rounds to the types that training writes. @param {string} type @param {string} from @returns {Made} */
    const round = (type, from) => {
        const out = join(folder, `${type}-rounded.gguf`),
            args = ['quantize', from, out, '--type', 'q8_0', '--tensor', `blk\\.=${type}`],
            { seconds } = once(out, args);
        return { type, way: 'F32 trained, then rounded', out, bitsPerWeight: bits(out), seconds };
    };
    return { train, round };
}

/**
 * @param {string} folder
 * @param {string} base
 * @param {string} training
 * @param {string[]} ways
 * @returns {Made[]} the first is the one that was trained in F32
 */
function makeAll(folder, base, training, ways) {
    const { train, round } = maker(folder, base, training),
        plain = train('f32', 'f32', 'F32 trained', []);
    if (!plain) throw new Error('the F32 model was left out');
    const taught = ['--teacher', base];
    return [
        plain,
        ...ways
            .filter((way) => TYPES.includes(way))
            .flatMap((type) => {
                const made = train(type, type, 'trained for it', ['--qat', type]);
                return made
                    ? [
                          round(type, plain.out),
                          made,
                          train(`${type}-taught`, type, 'the same, by a teacher', ['--qat', type, ...taught]),
                      ]
                    : [];
            }),
        ...(ways.includes('gradients')
            ? IN_8_BITS.map(([way, flags], i) => train(`gradients-${i}`, 'q8_0', way, flags))
            : []),
    ].flatMap((made) => made ?? []);
}

/**
 * @param {Made[]} made
 * @param {string} base
 * @param {string} evaluation
 */
function measure(made, base, evaluation) {
    const outs = made.map(({ out }) => out),
        flags = ['--file', evaluation, '--no-speed', '--no-weights'],
        found = nibble('compare', base, ...outs, ...flags),
        paired = outs.length > 1 ? nibble('compare', ...outs, ...flags).models : [];
    /** @type {Row[]} */
    const rows = made.map((row, i) => {
        const { perplexity, standardError, divergence, sameTop } = found.models[i];
        return {
            ...row,
            perplexity,
            standardError,
            logRatio: i > 0 ? paired[i - 1].logRatio : undefined,
            divergence,
            sameTop: sameTop.mean,
        };
    });
    return { rows, tokens: found.tokens, base: found.base };
}

const count = (/** @type {number} */ n) => n.toLocaleString('en');

/** @param {Row} row */
const line = ({ type, way, bitsPerWeight, held, perplexity, standardError, logRatio, divergence, sameTop }) =>
    `| ${[
        type,
        way,
        bitsPerWeight.toFixed(2),
        held === undefined || way.includes('teacher') ? '' : held.toFixed(4),
        `${perplexity.toFixed(3)} ± ${standardError.toFixed(3)}`,
        logRatio ? ratio(logRatio) : '',
        withError(divergence.mean, divergence.standardError),
        (100 * sameTop).toFixed(2),
    ].join(' | ')} |`;

/** @param {Row[]} rows */
function gradients(rows) {
    const [exact, rounded] = IN_8_BITS.map(([way]) => rows.find((row) => row.way === way)?.held);
    if (exact === undefined || rounded === undefined) return '';
    return `
With gradients in 8 bits the loss of the held-out text is ${rounded.toFixed(4)}, and ${exact.toFixed(4)} with
gradients in F32: it differs by ${(100 * (rounded / exact - 1)).toFixed(2)} %.
`;
}

/**
 * The text of docs/qat.md.
 * @param {ReturnType<typeof measure>} found
 * @param {string} command
 * @param {{ training: number, evaluation: number }} characters
 */
const page = ({ rows, tokens, base }, command, characters) =>
    `# What quantization-aware training gains

Written by tests/quality/qat.js; do not edit it. The command was

    ${command}

All models were trained for ${STEPS} steps of ${BATCH} sequences of ${LENGTH} tokens, with the same text
(${count(characters.training)} characters), order and learning rate (${RATE}). "F32 trained" is the fair baseline:
the same model, trained as long, without any rounding. "F32 trained, then rounded" is that one after \`nibble quantize\`
to the types that training writes: layers' matrices in the type, the ends in Q8_0. "Trained for it" is
\`nibble train --qat TYPE\`; with a teacher (\`--teacher\`, the base) it learned the base's logits in place of the text.
Bits per weight are those of the whole file. The loss is that of the last twentieth of the training text, which was held
out.

The other figures are of another text, of ${count(characters.evaluation)} characters (${count(tokens)} tokens). The
perplexity of the base is ${base.perplexity.toFixed(3)} ± ${base.standardError.toFixed(3)}. KL is the divergence from
the base, in nats; a model that has learned more differs from it, too. ± is one standard error; those of ratios
are paired over the windows of the text.

| type | way | bits per weight | loss, held out | perplexity | above F32 trained, % | mean KL | same top, % |
|---|---|---:|---:|---:|---:|---:|---:|
${rows.map(line).join('\n')}
${gradients(rows)}`;

/** @param {string[]} wanted */
function main(wanted) {
    const training = textOf('NIBBLE_TRAINING', COMMAND),
        evaluation = textOf('NIBBLE_EVALUATION', COMMAND),
        base = process.env.NIBBLE_BASE;
    if (training.text === evaluation.text) throw new Error('the training text and the evaluation text are the same');
    if (!base)
        throw new Error(`NIBBLE_BASE is not set: it must name a floating-point model. The command is: ${COMMAND}`);
    const all = [...TYPES, 'gradients'],
        other = wanted.find((way) => !all.includes(way));
    if (other) throw new Error(`"${other}" is not one of ${all.join(', ')}`);
    const folder = `${root}build/qat`,
        target = `${root}docs/qat.md`;
    mkdirSync(folder, { recursive: true });
    const made = makeAll(folder, base, training.path, wanted.length > 0 ? wanted : all),
        found = measure(made, base, evaluation.path),
        command = `${COMMAND}${SETTINGS.join('')}${wanted.length > 0 ? ` WAYS="${wanted.join(' ')}"` : ''}`,
        characters = { training: training.text.length, evaluation: evaluation.text.length };
    writeFileSync(`${root}build/qat.json`, `${JSON.stringify({ command, characters, ...found }, null, 1)}\n`);
    writeFileSync(target, page(found, command, characters));
    rmSync(folder, { recursive: true });
    console.log('docs/qat.md is written');
}

main(process.argv.slice(2));
