/** `nibble bench`: how fast a model is, and where its time goes. */
import { cpus } from 'node:os';
import { measureRates, promptMaker } from '../api/rates.js';
import { messageOf } from '../errors.js';
import { ceilingOf, measureMachine, workOf } from './ceiling.js';
import { open } from './open-model.js';
import { meanTime, openProfiler } from './profile.js';
import { oneLine, write, writeJson } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('./usage.js').Command} Command */

/** @type {Command['run']} */
export async function commandBench(args, signal) {
    const { promptTokens, generateTokens, repetitions, profile, json } = args.values;
    const model = await open(args, signal, { contextLength: promptTokens + generateTokens });
    const { context = Infinity, vocabulary = 1 } = model.info;
    if (promptTokens + generateTokens > context) {
        await model.dispose();
        throw new UsageError(
            `a prompt of ${promptTokens} tokens and ${generateTokens} generated ones are more than the model's context, ` +
                `which is ${context}; take fewer (--prompt-tokens, --generate-tokens)`,
        );
    }
    const newPrompt = promptMaker(vocabulary, promptTokens);
    const complete = (/** @type {number[]} */ prompt, /** @type {number} */ maxTokens) =>
        model.complete(prompt, { maxTokens, ignoreEnd: true, speculate: false, signal });
    const rates = await measureRates(model, newPrompt, { generateTokens, repetitions, signal });
    const times =
        profile &&
        (await profileTimes(() => {
            const prompt = newPrompt();
            // the second finds the prompt cached
            return [() => complete(prompt, 1), () => complete(prompt, generateTokens)];
        }, repetitions));
    const { info } = model;
    await model.dispose();
    const precision = args.values.precision ?? 'exact',
        ceiling = await measureCeiling(info, rates, { precision, promptTokens, repetitions }, signal).catch((error) => {
            if (signal.aborted) throw error;
            // what was measured before is worth more than this
            const why = oneLine(messageOf(error));
            write(`nibble: the machine's ceiling could not be measured: ${why}\n`, process.stderr);
            return null;
        });
    const result = {
        model: info.name ?? args.model,
        cpu: cpus()[0]?.model.trim() ?? 'unknown',
        cores: cpus().length,
        precision,
        build: info.build,
        threads: info.threads,
        promptTokens,
        generateTokens,
        repetitions,
        loadMs: info.loadMs,
        memoryBytes: info.memoryBytes,
        ...rates,
        ceiling,
        ...(times ? { profile: times } : {}),
    };
    if (json) writeJson(result);
    else
        write(
            `${oneLine(result.model)}, ${result.precision}, build ${result.build}, threads ${result.threads}\n` +
                `${oneLine(result.cpu)}, ${result.cores} logical cores; ${DOTS.find(([name]) => result.build.startsWith(name))?.[1]}\n` +
                rateLine('prompt', result.promptTokensPerSecond, promptTokens, repetitions) +
                (ceiling ? ceilingLine(ceiling.prompt) : '') +
                rateLine('generate', result.generateTokensPerSecond, generateTokens, repetitions) +
                (ceiling ? ceilingLine(ceiling.generate) : '') +
                (times ? profileTable(times) : ''),
        );
}

/** How builds multiply, by the beginnings of their names. */
const DOTS = [
    ['relaxed-dot', 'dot products of bytes by one instruction'],
    ['relaxed', 'dot products of bytes by several instructions'],
    ['integer', 'integers alone'],
    ['', 'products of 16 bits, as this engine has no relaxed SIMD'],
];

/**
 * @param {string} what
 * @param {number} rate
 * @param {number} tokens
 * @param {number} repetitions
 */
const rateLine = (what, rate, tokens, repetitions) =>
    `${what.padEnd(10)}${rate.toFixed(1).padStart(9)} tokens/s (${tokens} tokens, median of ${repetitions})\n`;

/** Rounds of measuring the machine, for each repetition. */
const ROUNDS = 20;

/**
 * How fast prompt and generation could be here.
 * @param {import('../index.d.ts').ModelInfo} info
 * @param {Awaited<ReturnType<typeof measureRates>>} rates
 * @param {{ precision: 'exact' | 'fast', promptTokens: number, repetitions: number }} options
 * @param {AbortSignal} signal
 */
async function measureCeiling(info, rates, { precision, promptTokens, repetitions }, signal) {
    const token = workOf(info, precision, 1),
        prompt = workOf(info, precision, promptTokens),
        rounds = Math.min(ROUNDS * repetitions, 200);
    const task = { threads: info.threads, bytes: token.bytes, ways: Object.keys(token.products), rounds };
    const machine = await measureMachine(task, signal);
    return {
        prompt: ceilingOf(prompt, machine, rates.promptTokensPerSecond),
        generate: ceilingOf(token, machine, rates.generateTokensPerSecond),
    };
}

/** @param {ReturnType<typeof ceilingOf>} ceiling */
function ceilingLine({ share, tokensPerSecond, limit, ...of }) {
    const giga = (/** @type {number} */ n) => (n / 1e9).toFixed(1),
        mega = (/** @type {number} */ n) => (n / 1e6).toFixed(1);
    return (
        `${' '.repeat(10)}${(share * 100).toFixed(0).padStart(9)} % of the ${tokensPerSecond.toFixed(1)} that ` +
        (limit === 'reading'
            ? `reading the weights allows (${giga(of.readBytesPerSecond)} GB/s, ${mega(of.bytesPerToken)} MB a token)\n`
            : `multiplying allows (${giga(of.multiplyAddsPerSecond)} G multiply-adds/s, ` +
              `${mega(of.multiplyAddsPerToken)} M a token)\n`)
    );
}

/**
 * Where the time of the engine's thread goes.
 * @typedef {Record<'prompt' | 'generate', import('./profile.js').TimeSpent>} Times
 */

/**
 * @param {() => (() => Promise<unknown>)[]} newWork a prompt to evaluate, and what to generate after it
 * @param {number} repetitions
 * @returns {Promise<Times>}
 */
async function profileTimes(newWork, repetitions) {
    const profile = await openProfiler();
    const prompts = [],
        generations = [];
    for (let i = 0; i < repetitions; i++) {
        const [prompt, generate] = newWork();
        prompts.push(await profile(prompt));
        generations.push(await profile(generate));
    }
    return { prompt: meanTime(prompts), generate: meanTime(generations) };
}

/** @param {Times} times */
function profileTable({ prompt, generate }) {
    /** @typedef {{ ms: number, share: number }} Cell */
    const numbers = (/** @type {Cell} */ { ms, share }) =>
        `${ms.toFixed(1).padStart(9)} ms${(share * 100).toFixed(1).padStart(6)} %`;
    const line = (/** @type {string} */ name, /** @type {Cell[]} */ cells) =>
        `${name.padEnd(36)}${cells.map(numbers).join('  ')}\n`;
    const parts = [prompt, generate];
    const names = new Set(parts.flatMap(({ phases }) => phases.map(({ phase }) => phase)));
    return (
        `\n${'where the time goes'.padEnd(36)}${'prompt'.padStart(20)}  ${'generate'.padStart(20)}\n` +
        [...names]
            .map((name) =>
                line(
                    name,
                    parts.map(({ phases }) => phases.find(({ phase }) => phase === name) ?? { ms: 0, share: 0 }),
                ),
            )
            .join('') +
        line(
            'all',
            parts.map(({ phases }) => ({ ms: phases.reduce((sum, { ms }) => sum + ms, 0), share: 1 })),
        )
    );
}
