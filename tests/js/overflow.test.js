// A text that outgrows the context: what is dropped, and that the answer goes on as it should. Shifted caches give
// llama.cpp's logits.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { load } from '../../web/index.js';
import { Count } from '../../web/openai/answers.js';
import { openaiFetch } from '../../web/openai/index.js';
import { Models } from '../../web/server/models.js';
import { Overflow } from '../../web/worker/overflow.js';
import { models, root } from '../support/builds.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */
/** @typedef {{ model: string, context: number, keep: number, prompt: number[], answer: number[],
 *     logits: Record<string, number[]> }} Shifted */

const CONTEXT = 32;
const GREEDY = { temperature: 0, ignoreEnd: true };
/** @type {Shifted[]} */
const SHIFTED = JSON.parse(readFileSync(`${root}tests/fixtures/shifted.json`, 'utf8')).models;
const range = (/** @type {number} */ n, from = 3) => Array.from({ length: n }, (_, i) => from + ((i * 37) % 500));

/** @type {Model} */
let model;
before(async () => {
    model = await load(models.tiny, { contextLength: CONTEXT, threads: 1, kvType: 'f32' });
});
after(() => model.dispose());

for (const { model: name, context, keep, prompt, answer, logits } of SHIFTED)
    test(`${name}: a shifted cache goes on as llama.cpp's`, async () => {
        const own = await load(`${root}tests/fixtures/${name}`, { contextLength: context, threads: 1, kvType: 'f32' });
        let step = 0,
            compared = 0;
        /** @type {import('../../web/index.d.ts').GenerateOptions} */
        const options = { ...GREEDY, maxTokens: answer.length, contextOverflow: 'shift', keep };
        const seen = await own.complete(prompt, {
            ...options,
            onLogits(row) {
                for (const [i, right] of (logits[step] ?? []).entries()) {
                    assert.ok(Math.abs(row[i] - right) < 1e-3, `step ${step}: ${row[i]}, and not ${right}`);
                    compared++;
                }
                step++;
            },
        });
        assert.deepEqual(seen.tokens, answer);
        assert.ok(compared > 200);
        const half = Math.floor((context - keep) / 2);
        const total = prompt.length + answer.length - context; // the last token needs no place
        assert.equal(seen.droppedTokens, Math.ceil(total / half) * half);
        assert.deepEqual((await own.complete(prompt, options)).tokens, answer); // many tokens in a call
        await own.dispose();
    });

/**
 * The keys of the first head of the first layer, and the tokens that they are of (src/models/saving.c).
 * @param {Uint8Array} saved
 */
function firstKeys(saved) {
    const view = new DataView(saved.buffer, saved.byteOffset, saved.byteLength),
        n = view.getUint32(16, true),
        at = 48 + 4 * n + 8;
    const floats = (/** @type {number} */ count) =>
        Float32Array.from({ length: count }, (_, i) => view.getFloat32(at + 4 * i, true));
    return { tokens: Array.from({ length: n }, (_, i) => view.getInt32(48 + 4 * i, true)), floats };
}

for (const name of ['rope-yarn', 'gptneox'])
    test(`${name}: keys of the first layer are those of their new positions`, async () => {
        const own = await load(`${root}tests/fixtures/models/${name}.gguf`, {
            contextLength: CONTEXT,
            threads: 1,
            kvType: 'f32',
        });
        const { headSize = 0 } = own.info;
        const seen = await own.complete(
            range(20).map((token) => token % 60),
            {
                ...GREEDY,
                maxTokens: 24,
                contextOverflow: 'shift',
                keep: 3,
            },
        );
        assert.ok(seen.droppedTokens);
        const moved = firstKeys(await own.save());
        await own.complete([1], { ...GREEDY, maxTokens: 1 }); // forgets it
        await own.complete(moved.tokens, { ...GREEDY, maxTokens: 1 });
        const computed = firstKeys(await own.save());
        assert.deepEqual(computed.tokens, moved.tokens);
        assert.ok(moved.tokens.length > 12);
        const size = moved.tokens.length * headSize,
            [a, b] = [moved.floats(size), computed.floats(size)];
        assert.ok(Math.max(...b.map(Math.abs)) > 0.1);
        assert.ok(Math.max(...a.map((x, i) => Math.abs(x - b[i]))) < 1e-4);
        await own.dispose();
    });

test('shifted caches of 16, 8 and 4 bits are as near to it as before the shift', async () => {
    const [{ model: name, context, keep, prompt, answer, logits }] = SHIFTED;
    for (const kvType of /** @type {const} */ (['f16', 'i16', 'q8_0', 'q8_0/q4_0', 'q4_0'])) {
        const own = await load(`${root}tests/fixtures/${name}`, { contextLength: context, threads: 1, kvType });
        let step = 0,
            before = 0,
            behind = 0;
        await own.complete(prompt, {
            ...GREEDY,
            maxTokens: answer.length,
            contextOverflow: 'shift',
            keep,
            onLogits(row) {
                const far = Math.max(...(logits[step] ?? []).map((right, i) => Math.abs(row[i] - right)), 0);
                if (prompt.length + step < context) before = Math.max(before, far);
                else behind = Math.max(behind, far);
                row.fill(-100); // so that all go on with the same tokens
                row[answer[step++]] = 100;
            },
        });
        assert.ok(before > 0 && behind > 0 && behind < 4 * before, `${kvType}: ${behind} and ${before}`);
        await own.dispose();
    }
});

test('slide: the answer goes on as in a new session with what is left', async () => {
    const prompt = range(20),
        keep = 4,
        half = (CONTEXT - keep) / 2;
    const seen = await model.complete(prompt, { ...GREEDY, maxTokens: 60, contextOverflow: 'slide', keep });
    assert.equal(seen.tokens.length, 60);
    assert.equal(seen.finishReason, 'length');
    const all = [...prompt, ...seen.tokens];
    let dropped = 0;
    for (let n = prompt.length; n < all.length; ) {
        const left = [...all.slice(0, keep), ...all.slice(keep + dropped, n)],
            room = Math.min(CONTEXT - left.length, all.length - n);
        if (room > 0) {
            const part = await model.complete(left, { ...GREEDY, maxTokens: room });
            assert.deepEqual(part.tokens, all.slice(n, n + room), `${n} tokens, ${dropped} dropped`);
            n += room;
        }
        if (n < all.length) dropped += half;
    }
    assert.equal(seen.droppedTokens, dropped);
});

test('a prompt that is too long', async () => {
    const long = range(100);
    await assert.rejects(
        model.complete(long).then(() => {}),
        (/** @type {any} */ error) => {
            assert.match(error.message, /100 tokens, and the context holds 32.*contextOverflow/);
            return error.code === 'NB_ERR_CONTEXT';
        },
    );
    const full = await model.complete(range(30), { ...GREEDY, maxTokens: 9 });
    assert.deepEqual([full.finishReason, full.tokens.length, full.droppedTokens], ['length', 2, undefined]);
    for (const [keep, kept] of /** @type {[number | undefined, number][]} */ ([
        [undefined, 0],
        [10, 10],
    ])) {
        const half = Math.floor((CONTEXT - kept) / 2),
            dropped = Math.ceil((100 - CONTEXT + 1) / half) * half;
        const seen = await model.complete(long, { ...GREEDY, maxTokens: 1, contextOverflow: 'slide', keep });
        assert.deepEqual([seen.droppedTokens, seen.promptTokens], [dropped, 100 - dropped]);
        const left = [...long.slice(0, kept), ...long.slice(kept + dropped)];
        assert.deepEqual((await model.complete(left, { ...GREEDY, maxTokens: 1 })).tokens, seen.tokens);
    }
    /** @type {[import('../../web/index.d.ts').GenerateOptions, RegExp][]} */
    const refused = [
        [{ contextOverflow: 'slide', keep: -1 }, /keep less of it than 100 tokens/],
        [{ contextOverflow: 'slide', keep: 31 }, /keep less of it than 31 tokens/],
        [{ keep: 3 }, /keep goes with a contextOverflow/],
        [{ contextOverflow: /** @type {any} */ ('drop') }, /contextOverflow must be one of error, slide, shift/],
    ];
    for (const [options, message] of refused)
        await assert.rejects(async () => model.complete(long, options).then(() => {}), message);
    await assert.rejects(async () => model.chat('a', { contextOverflow: 'slide', keep: 3 }), /option of complete/);
});

/** Without a model. @param {any} ask @param {number[]} prompt @param {any} [job] @param {() => number[]} [render] */
const overflowOf = (ask, prompt, job = { stopped: false }, render = () => []) =>
    new Overflow(
        /** @type {any} */ ({ context: CONTEXT, description: {} }),
        { options: { contextOverflow: 'slide' }, ...ask },
        prompt,
        job,
        async () => render(),
    );

test('a text with a gap is kept as a whole, as its marks are within it', async () => {
    const ask = { what: 'complete', input: { prefix: 'a', suffix: 'b' } },
        left = await overflowOf(ask, range(20)).fit(range(20, 600));
    assert.deepEqual(left?.slice(0, 20), range(20));
    assert.ok(left && left.length > 20 && left.length < CONTEXT);
    await assert.rejects(
        overflowOf(ask, range(40)).fit([]),
        /the prompt has 40 tokens.*: shorten it, or load the model/,
    );
    const wrong = { contextOverflow: /** @type {const} */ ('slide'), keep: 3 };
    assert.throws(() => model.complete(ask.input, wrong), /keep goes with a prompt that is one text/);
});

test('a chat that is stopped while its messages are dropped has dropped nothing', async () => {
    const messages = ['system', 'user', 'assistant', 'user'].map((role) => ({ role, content: 'a' })),
        job = { stopped: false };
    const overflow = overflowOf({ what: 'chat', input: messages }, range(40), job, () => {
        job.stopped = true;
        return [];
    });
    assert.deepEqual([await overflow.fit([]), await overflow.fit([7]), overflow.dropped], [undefined, undefined, 0]);
});

test('learned positions cannot be shifted; they slide', async () => {
    const own = await load(`${root}tests/fixtures/models/gpt2.gguf`, { contextLength: CONTEXT, threads: 1 });
    const prompt = Array(20).fill(7);
    await assert.rejects(
        own.complete(prompt, { contextOverflow: 'shift' }).then(() => {}),
        (/** @type {any} */ error) => {
            assert.match(error.message, /gpt2 model cannot be shifted.*learned.*'slide'/);
            return error.code === 'NB_ERR_UNSUPPORTED';
        },
    );
    const { tokens } = await own.complete(prompt, { ...GREEDY, maxTokens: 20, contextOverflow: 'slide' });
    assert.equal(tokens.length, 20);
    await own.dispose();
});

test('a chat drops its oldest messages, and the same ones in its next request', async () => {
    const own = await load(models.tiny, { contextLength: 128, threads: 1, kvType: 'f32' });
    const system = { role: 'system', content: 'Be kind.' };
    /** @type {import('../../web/index.d.ts').Message[]} */
    const messages = [system];
    for (let i = 0; i < 6; i++)
        messages.push({ role: 'user', content: `Question ${i}?` }, { role: 'assistant', content: `Answer ${i}.` });
    messages.push({ role: 'user', content: 'The last?' });
    const whole = (await own.applyTemplate(messages)).tokens.length;
    assert.ok(whole > 128, `${whole}`);
    await assert.rejects(
        own.chat(messages).then(() => {}),
        { code: 'NB_ERR_CONTEXT' },
    );

    /** The messages that stay if so many tokens of all may. */
    const staying = async (/** @type {number} */ most) => {
        for (let from = 1; ; from += 2) {
            const left = [system, ...messages.slice(from)];
            if ((await own.applyTemplate(left)).tokens.length <= most || from >= messages.length - 1) return left;
        }
    };
    const half = 64,
        left = await staying(whole - Math.ceil((whole - 127) / half) * half);
    const expected = await own.chat(left, { ...GREEDY, maxTokens: 4 });
    for (const contextOverflow of /** @type {const} */ (['slide', 'shift'])) {
        const seen = await own.chat(messages, { ...GREEDY, maxTokens: 4, contextOverflow });
        assert.deepEqual(seen.tokens, expected.tokens);
        assert.deepEqual(
            [seen.promptTokens, seen.droppedTokens],
            [expected.promptTokens, whole - expected.promptTokens],
        );
    }
    // the session holds what is left
    messages.push({ role: 'assistant', content: expected.text }, { role: 'user', content: 'So?' });
    const next = await own.chat(messages, { ...GREEDY, maxTokens: 2, contextOverflow: 'slide' });
    assert.ok(next.cachedTokens >= expected.promptTokens - 8, `${next.cachedTokens} of ${expected.promptTokens}`);

    // an answer that fills the context: the messages go first, then the beginning of the answer
    const { tokens, droppedTokens, finishReason } = await own.chat([system, ...messages.slice(-1)], {
        ...GREEDY,
        maxTokens: 300,
        contextOverflow: 'slide',
    });
    assert.deepEqual([tokens.length, finishReason], [300, 'length']);
    assert.ok(droppedTokens && droppedTokens > 150);
    await assert.rejects(
        own.chat('long '.repeat(200), { contextOverflow: 'slide' }).then(() => {}),
        /shorten the system message and the last message/,
    );
    await own.dispose();
});

test("OpenAI's requests: context_overflow, and what a server asks for by default", async () => {
    const prompt = range(100),
        fetch = openaiFetch(model);
    const post = async (/** @type {object} */ body) => {
        const answer = await fetch('http://localhost/v1/completions', { method: 'POST', body: JSON.stringify(body) });
        return answer.text();
    };
    const { usage, error } = JSON.parse(await post({ prompt, max_tokens: 1 }));
    assert.deepEqual([usage, error.code], [undefined, 'context_length_exceeded']);
    const seen = JSON.parse(await post({ prompt, max_tokens: 1, context_overflow: 'slide' })).usage;
    assert.equal(seen.prompt_tokens + seen.dropped_tokens, 100);
    const stream = await post({
        prompt,
        max_tokens: 1,
        context_overflow: 'slide',
        stream: true,
        stream_options: { include_usage: true },
    });
    assert.match(stream, new RegExp(`"dropped_tokens":${seen.dropped_tokens}\\b`));
    // without a limit of its own an answer has as many tokens as the context
    const messages = [{ role: 'user', content: 'a' }];
    const whole = await model.chat.completions.create({
        messages,
        context_overflow: 'slide',
        temperature: 0,
        logit_bias: { 2: -100, 0: -100 },
    });
    assert.equal(whole.usage.completion_tokens, CONTEXT);

    const limits = { memory: 1e9, queue: 1, timeout: 1e5, contextShift: true },
        offer = { name: 'a', bytes: 1, open: async () => /** @type {any} */ (model) },
        served = new Models([offer], limits, () => {}),
        { signal } = new AbortController();
    const ask = (/** @type {object} */ body) =>
        served.create('a', 'completions', { prompt, max_tokens: 1, ...body }, signal, { count: new Count() });
    assert.equal((await ask({})).usage.dropped_tokens, seen.dropped_tokens);
    await assert.rejects(ask({ context_overflow: 'error' }), { code: 'NB_ERR_CONTEXT' });
});
