/** Answers one request: the prompt is evaluated, and tokens are made until the answer ends. */
import { NB_LOGITS_LAST } from '../abi.js';
import { NibbleError } from '../errors.js';
import { Draft } from './draft.js';
import { matcherOf } from './grammar.js';
import { inMs, inTokens } from './journal.js';
import { Output, rate, round } from './output.js';
import { Overflow } from './overflow.js';
import { Pace, Slice } from './pace.js';
import { promptOf } from './prompt.js';
import { biasesOf, makeSampler } from './sampler.js';
import { Speculator } from './speculation.js';
import { Stepper } from './step.js';
import { StopFinder } from './stops.js';

/** @typedef {import('../index.d.ts').ModelInfo} ModelInfo */
/** @typedef {import('../index.d.ts').Result} Result */
/** @typedef {import('../options.js').CheckedGenerate} CheckedGenerate */
/** @typedef {import('../protocol.js').GenerateAsk} GenerateAsk */
/** @typedef {import('./detokenizer.js').Detokenizer} Detokenizer */
/** @typedef {import('./draft.js').Drafter} Drafter */
/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('./engine.js').Job} Job */
/** @typedef {import('./seats.js').Seat} Seat */

/** @typedef {Pick<Result, 'promptTokens' | 'cachedTokens'>} Prompted */

/** @type {Prompted} */
const NO_PROMPT = { promptTokens: 0, cachedTokens: 0 };

/**
 * What an answer is made with. prefix: where the core reads and writes all tokens so far. stepper: makes the tokens
 * instead of the core, one at a time. speculator: guesses some of them. drafter: a source of its guesses. overflow:
 * makes room in the context.
 * @typedef {{ sampler: number, prefix: number, output: Output, stepper: Stepper | undefined,
 *     speculator: Speculator | undefined, drafter: Drafter | undefined, overflow: Overflow }} Means
 */

/**
 * Answers one request: prompt, tokens, text.
 * @param {Engine} engine
 * @param {GenerateAsk} ask
 * @param {Job} job
 * @param {import('./output.js').Emit} emit
 * @param {import('./step.js').Lend} lend to onLogits(), if there is one
 * @returns {Promise<Result>}
 */
export async function generate(engine, ask, job, emit, lend) {
    engine.needSession();
    await engine.seats.enter();
    try {
        return await generateHere(engine, ask, job, emit, lend);
    } finally {
        engine.seats.leave();
    }
}

/**
 * The same when there is a seat for it.
 * @param {Engine} engine
 * @param {GenerateAsk} ask
 * @param {Job} job
 * @param {import('./output.js').Emit} emit
 * @param {import('./step.js').Lend} lend
 * @returns {Promise<Result>}
 */
async function generateHere(engine, ask, job, emit, lend) {
    const { core, context } = engine,
        { options } = ask;
    if (!engine.description.tokenizer)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            "this model's file has no tokenizer, so its tokens have no text, and it cannot generate: logits() " +
                '(nibble eval) takes token ids; or make the file anew from one that has a tokenizer',
        );
    const adapters = options.adapters ? engine.adapters.set(options.adapters) : engine.adapters.chosen;
    const { prompt, taking, grammar } = await promptOf(engine, ask, job);
    const aborted = () => ({
        ...resultOf(engine, '', [], NO_PROMPT, 'abort', options.seed ?? 0, { prompt: null, generate: null }),
        ...(options.logprobs ? { logprobs: [] } : {}),
    });
    if (job.stopped && prompt.length === 0) return aborted();
    if (prompt.length === 0)
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            'the prompt is empty, and this model has no beginning token to start from',
        );
    const overflow = new Overflow(engine, ask, prompt, job, async (messages) => {
        const turn = await engine.chatTurn(messages, /** @type {any} */ (options), job);
        return turn?.tokens ?? [];
    });
    const begun = await overflow.fit([]);
    if (!begun) return aborted();
    const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    let sampler = 0,
        prefix = 0;
    /** @type {Detokenizer[]} */
    const decoders = [];
    /** @type {import('./grammar.js').Matcher | undefined} */
    let matcher;
    /** @type {Drafter | undefined} */
    let drafter;
    try {
        matcher = await matcherOf(engine, grammar ?? options.grammar, taking);
        const biases = biasesOf(engine, options);
        sampler = makeSampler(core, engine.model, options, biases, seed);
        const decoder = engine.decoder(false);
        decoders.push(decoder);
        prefix = core.allocate(4 * (context + 1), 'the prompt');
        core.ints(prefix, begun.length).set(begun);
        const output = new Output(decoder, new StopFinder(options.stop), emit, options.logprobs, taking);
        /** @type {Stepper | undefined} */
        let stepper;
        if (options.logprobs || ask.lends || matcher) {
            const names = engine.decoder(true);
            decoders.push(names);
            const lends = async (/** @type {Float32Array} */ logits, /** @type {number} */ position) => {
                output.send(); // onLogits() sees all tokens so far
                return lend(logits, position);
            };
            stepper = new Stepper(
                engine,
                options,
                { sampler, prefix, decoder, names, matcher },
                ask.lends ? lends : undefined,
            );
        }
        const isPlain = options.speculate && !stepper && engine.mostGuesses > 0;
        if (isPlain && engine.draft) drafter = Draft.drafter(engine, engine.draft, prefix, options, biases);
        const speculator = isPlain ? new Speculator(begun, engine.mostGuesses, drafter) : undefined,
            means = { sampler, prefix, output, stepper, speculator, drafter, overflow };
        const seat = await engine.seats.take(Int32Array.from(begun), adapters, job);
        /** @type {Awaited<ReturnType<typeof answer>>} */
        let answered;
        engine.together.active++;
        try {
            answered = await answer(engine, seat, options, job, begun, means);
        } finally {
            engine.together.active--;
            engine.seats.free(seat);
        }
        const { finishReason, prompted, rates } = answered;
        const result = resultOf(engine, output.text, output.tokens, prompted, finishReason, seed, rates),
            { reasoning, toolCalls, logprobs } = output,
            reasoningTokens = Math.min(output.thoughtTokens, output.mostThought);
        return {
            ...result,
            ...(reasoningTokens > 0 ? { reasoning, reasoningTokens } : {}),
            ...(toolCalls.length > 0 ? { toolCalls } : {}),
            ...(logprobs ? { logprobs } : {}),
            ...(overflow.isOn ? { droppedTokens: overflow.dropped } : {}),
            ...(drafter
                ? { drafted: { guessed: speculator?.drafted ?? 0, right: speculator?.draftedRight ?? 0 } }
                : {}),
        };
    } finally {
        for (const each of decoders) each.free();
        matcher?.free();
        drafter?.free();
        core.exports.nb_free(prefix);
        core.exports.nb_sampler_free(sampler);
    }
}

/**
 * Evaluates the prompt, and generates until the answer ends.
 * @param {Engine} engine
 * @param {Seat} seat whose sequence it is
 * @param {CheckedGenerate} options
 * @param {Job} job
 * @param {number[]} prompt
 * @param {Means} means
 * @returns {Promise<{ finishReason: Result['finishReason'], prompted: Prompted, rates: { prompt: number | null,
 *     generate: number | null } }>}
 */
async function answer(engine, seat, { maxTokens, ignoreEnd }, job, prompt, means) {
    const { core, seats, together } = engine,
        { sampler, prefix, output, stepper, speculator, drafter, overflow } = means,
        promptTokens = prompt.length;
    const slice = new Slice(),
        pace = new Pace(slice);
    const promptBegan = performance.now();
    if (!job.stopped) {
        seats.select(seat);
        overflow.move(prompt);
    }
    const { known, evaluated, isReady } = await advance(engine, seat, prefix, promptTokens, slice, job);
    seats.read(seat);
    const generateBegan = performance.now();

    /** @type {Result['finishReason'] | undefined} */
    let finishReason = job.stopped ? 'abort' : stepper?.ended() ? 'stop' : undefined;
    const most = overflow.isOn ? maxTokens : Math.min(maxTokens, engine.context - promptTokens);
    /** Tokens before the answer, less those of the answer that were dropped. */
    let before = promptTokens;
    let chosen = 0; // the first of them needs no evaluation
    /** Whether the session has the logits that the next token is chosen of. */
    let ready = isReady;
    /** Tokens that end a thought which has used up its own. @type {number[]} */
    let fed = [];
    while (!finishReason) {
        if (before + output.tokens.length >= engine.context) {
            const all = await overflow.fit(output.tokens);
            if (all) {
                core.ints(prefix, all.length).set(all);
                before = all.length - output.tokens.length;
                seats.select(seat);
                overflow.move(all);
                ready = (await advance(engine, seat, prefix, all.length, slice, job)).isReady;
                speculator?.moved(all);
            }
            finishReason = job.stopped ? 'abort' : all ? undefined : 'length';
            if (finishReason) break;
        }
        const n = before + output.tokens.length,
            left = Math.min(most - output.tokens.length, engine.context - n),
            count = Math.min(pace.next(), left, output.thoughtLeft);
        if (fed.length === 0 && output.thoughtLeft === 0) fed = [...(output.taking?.closing ?? [])];
        /** @type {number[]} */
        let tokens;
        /** Where the logits are; undefined: the core makes tokens by itself. @type {number | undefined} */
        let logits;
        const isFed = !stepper && fed.length > 0;
        if (drafter && !together.isOn && !isFed) {
            drafter.n = n;
            if (speculator?.wantsReading(Math.min(left, output.thoughtLeft))) {
                output.send();
                await readText(engine, drafter, slice, job);
                await pace.yieldToEvents(); // it was no time of tokens
                if (job.stopped) break;
                continue;
            }
        }
        if (together.isOn && !isFed) {
            logits = await reach(engine, seat, prefix, n, job);
            if (logits === undefined) break;
        } else if (stepper) {
            seats.select(seat);
            if (!ready) core.count('nb_session_advance', engine.session, prefix, n, NB_LOGITS_LAST);
            ({ logits } = engine.logits(engine.session));
        }
        ready = false;
        if (stepper) {
            const token = await stepper.next(n, /** @type {number} */ (logits), fed.shift());
            if (token === undefined) break;
            tokens = [token];
        } else if (isFed) {
            tokens = fed.splice(0, left);
            core.ints(prefix + 4 * n, tokens.length).set(tokens);
            speculator?.told(tokens);
        } else if (logits !== undefined) {
            tokens = [core.exports.nb_sampler_next(sampler, logits, prefix, n)];
            core.ints(prefix + 4 * n, 1).set(tokens);
            speculator?.told(tokens);
        } else {
            seats.select(seat);
            const make = (/** @type {number[]} */ guesses) => makeTokens(engine, n, count, guesses, ignoreEnd, means);
            tokens = speculator?.make(make, Math.min(left, output.thoughtLeft)) ?? make([]);
        }
        pace.took(tokens.length);
        chosen += tokens.length;
        const ends = addTokens(engine, tokens, output, ignoreEnd);
        if (stepper?.logprob) output.addLogprob(stepper.logprob);
        if (ends || stepper?.ended()) finishReason = 'stop';
        else if (output.tokens.length === most) finishReason = 'length';
        if (finishReason) break;
        if (together.isOn) {
            // each pass lets messages in
            if (slice.over()) {
                output.send();
                slice.began = performance.now();
            }
        } else if (pace.over()) {
            output.send();
            await pace.yieldToEvents();
        }
        if (job.stopped) finishReason ??= 'abort';
    }
    const promptMs = generateBegan - promptBegan,
        generateMs = performance.now() - generateBegan;
    finishReason ??= 'abort'; // while the caller had the logits
    output.end(stepper?.means.matcher !== undefined);
    const rates = { prompt: rate(evaluated, promptMs), generate: rate(chosen - 1, generateMs) };
    engine.journal?.(
        `prompt: ${promptTokens} tokens, ${known} of them cached, ${inMs(promptMs)}${inTokens(
            rates.prompt,
        )}; answer: ${output.tokens.length} tokens, ${inMs(generateMs)}${inTokens(rates.generate)}${
            speculator?.guessed ? `; ${speculator.right} of ${speculator.guessed} guessed tokens were right` : ''
        }${speculator?.drafted ? `, ${speculator.draftedRight} of ${speculator.drafted} of the draft model` : ''}`,
    );
    return { finishReason, prompted: { promptTokens, cachedTokens: known }, rates };
}

/**
 * Tokens that follow n others: those that the core would choose, and as many of them as there is time for, or those
 * of the guesses that are right and one more.
 * @param {Engine} engine
 * @param {number} n
 * @param {number} count how many there is time for
 * @param {number[]} guesses
 * @param {boolean} ignoreEnd
 * @param {Means} means
 * @returns {number[]}
 */
function makeTokens(engine, n, count, guesses, ignoreEnd, { sampler, prefix }) {
    const { core, session } = engine,
        some = guesses.length || count;
    core.ints(prefix + 4 * n, guesses.length).set(guesses);
    const made = core.count(
        guesses.length > 0 ? 'nb_session_speculate' : 'nb_session_generate',
        ...[session, sampler, prefix, n, some, ignoreEnd ? 1 : 0],
    );
    return [...core.ints(prefix + 4 * n, made)];
}

/**
 * @param {Engine} engine
 * @param {string} text
 * @param {number[]} tokens
 * @param {Prompted} prompted
 * @param {Result['finishReason']} finishReason
 * @param {number} seed
 * @param {{ prompt: number | null, generate: number | null }} rates tokens per second
 * @returns {Result}
 */
function resultOf(engine, text, tokens, prompted, finishReason, seed, rates) {
    return {
        text,
        tokens,
        ...prompted,
        finishReason,
        seed,
        build: /** @type {ModelInfo['build']} */ (engine.core.build),
        threads: engine.threads,
        timings: {
            loadMs: round(engine.loadMs),
            promptTokensPerSecond: rates.prompt,
            generateTokensPerSecond: rates.generate,
        },
    };
}

/**
 * @param {Engine} engine
 * @param {number[]} tokens what one call of the core made: only the last of them can be an end token
 * @param {Output} output
 * @param {boolean} ignoreEnd
 * @returns {boolean} whether the text ends with them
 */
function addTokens(engine, tokens, output, ignoreEnd) {
    const ends = !ignoreEnd && engine.core.exports.nb_model_is_end(engine.model, tokens[tokens.length - 1]) === 1;
    return (ends ? tokens.slice(0, -1) : tokens).some((token) => output.push(token)) || ends;
}

/**
 * Evaluates until the sequence holds tokens[n], or the job is stopped.
 * @param {Engine} engine
 * @param {Seat} seat
 * @param {number} tokens address
 * @param {number} n
 * @param {Slice} slice
 * @param {Job} job
 * @returns {Promise<{ known: number, evaluated: number, isReady: boolean }>} how many tokens the sequence held already,
 *     how many were evaluated, and whether the session has the logits after the last one. Of generations together it
 *     does not: they get theirs with those of others
 */
export async function advance(engine, seat, tokens, n, slice, job) {
    const { core, session, seats, together } = engine;
    seats.select(seat);
    const known = Math.min(core.exports.nb_session_holds(session, tokens, n), n - 1);
    for (let held = known; ; ) {
        if (!together.isOn && slice.over()) await slice.yieldToEvents();
        const isReady = held === n;
        if (job.stopped || isReady || (together.isOn && held === n - 1))
            return { known, evaluated: held - known, isReady };
        if (together.isOn) ({ held } = await together.step(seat, tokens, n - 1));
        else {
            seats.select(seat);
            held = core.count('nb_session_advance', session, tokens, n, NB_LOGITS_LAST);
        }
    }
}

/**
 * Lets the draft model read what it lacks of the text, until that is done, the job is stopped or other answers begin.
 * @param {Engine} engine
 * @param {Drafter} drafter
 * @param {Slice} slice
 * @param {Job} job
 */
async function readText({ together }, drafter, slice, job) {
    const [seat] = drafter.engine.seats.all,
        began = performance.now();
    const reading = {
        get stopped() {
            return job.stopped || together.isOn;
        },
    };
    try {
        const { evaluated } = await advance(drafter.engine, seat, drafter.prefix, drafter.n, slice, reading);
        drafter.record.read(evaluated, performance.now() - began);
    } catch (error) {
        drafter.fail(error);
    }
}

/**
 * Evaluates tokens[n] together with what others want.
 * @param {Engine} engine
 * @param {Seat} seat
 * @param {number} tokens address
 * @param {number} n
 * @param {Job} job
 * @returns {Promise<number | undefined>} where the logits after the last one are; undefined: the job was stopped
 */
async function reach(engine, seat, tokens, n, job) {
    for (;;) {
        const { logits } = await engine.together.step(seat, tokens, n);
        if (job.stopped) return undefined;
        if (logits) return logits;
    }
}
