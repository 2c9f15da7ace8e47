// Requests of every kind, for tests of what they leave in memory.
import { whole } from './gguf.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */

const RANK = 4,
    GRAMMARS = 4; // of two kinds, and that of a call: more than a model keeps

/** An adapter of all matrices of the layers, with small numbers. @param {Model['info']} info */
function adapterOf({ architecture, tensors }) {
    /** @type {Parameters<typeof whole>[0]} */
    const values = new Map();
    values.set('general.type', ['string', 'adapter']);
    values.set('adapter.type', ['string', 'lora']);
    values.set('general.architecture', ['string', architecture]);
    values.set('adapter.lora.alpha', ['f32', RANK]);
    const numbers = (/** @type {number} */ n) =>
        new Uint8Array(Float32Array.from({ length: n }, (_, i) => 0.001 * ((i % 7) - 3)).buffer);
    return whole(
        values,
        tensors
            .filter(({ name }) => /^blk\.\d+\.(attn_(q|k|v|output)|ffn_(gate|up|down))\.weight$/.test(name))
            .flatMap(({ name, shape: [columns, rows] }) =>
                [
                    { name: `${name}.lora_a`, shape: [columns, RANK] },
                    { name: `${name}.lora_b`, shape: [RANK, rows] },
                ].map((tensor) => {
                    const data = numbers(tensor.shape[0] * tensor.shape[1]);
                    return { ...tensor, type: 0, bytes: data.length, data };
                }),
            ),
    );
}

/** Waits for a request that must fail. @param {Promise<unknown> | PromiseLike<unknown>} request */
async function failing(request) {
    const failed = await Promise.resolve(request).then(
        () => false,
        () => true,
    );
    if (!failed) throw new Error('a request that must fail did not');
}

const TOOLS = [
    {
        type: 'function',
        function: {
            name: 'lamp',
            parameters: { type: 'object', properties: { on: { type: 'boolean' } }, required: ['on'] },
        },
    },
];

/**
 * The kinds of requests by their names. Each is called with a number, which differs from call to call.
 * @param {Model} model that answers chats
 * @param {Model} embedder
 * @returns {Record<string, (i: number) => Promise<unknown>>}
 */
export function mixedRequests(model, embedder) {
    const adapter = adapterOf(model.info),
        text = (/** @type {number} */ i) => `Story ${i}. Once upon a time, there was`,
        few = { maxTokens: 8 };
    return {
        complete: async (i) => model.complete(text(i), few),
        chat: async (i) => model.chat([{ role: 'user', content: text(i) }], { ...few, temperature: 1, seed: i }),
        stream: async (i) => {
            for await (const _ of model.chat(text(i), { maxTokens: 20 })) break; // leaves it early
        },
        schema: async (i) =>
            model.chat(text(i), { ...few, schema: { type: 'object', properties: { [`p${i % GRAMMARS}`]: true } } }),
        grammar: async (i) => model.complete(text(i), { ...few, grammar: `root ::= "a" [a-z]* "${i % GRAMMARS}"` }),
        tools: async (i) => model.chat(text(i), { ...few, tools: TOOLS, toolChoice: 'required' }),
        logprobs: async (i) => model.complete(text(i), { ...few, logprobs: true, topLogprobs: 5 }),
        onLogits: async (i) => model.complete(text(i), { ...few, onLogits: (logits) => void logits.fill(0, 0, 1) }),
        samplers: async (i) =>
            model.complete(text(i), {
                ...{ ...few, temperature: 1, seed: i, dryMultiplier: 1, mirostat: 2, repeatPenalty: 1.1 },
                ...{ logitBias: { [i % 100]: 1 }, stop: ['x', 'y'] },
            }),
        slide: async (i) => model.complete(text(i), { maxTokens: 320, contextOverflow: 'slide', ignoreEnd: true }),
        repeat: async (i) => model.complete(`${text(i)} ${text(i)} ${text(i)}`, { maxTokens: 24, ignoreEnd: true }),
        abort: async (i) => {
            const controller = new AbortController(),
                answer = model.complete(text(i), { maxTokens: 200, ignoreEnd: true, signal: controller.signal });
            setTimeout(() => controller.abort(), i % 3);
            await failing(answer);
        },
        stop: async (i) => {
            const answer = model.complete(text(i), { maxTokens: 200, ignoreEnd: true });
            answer.stop();
            await answer;
        },
        tooLong: (i) => failing(model.complete(text(i).repeat(200))),
        wrong: async () => {
            await failing(model.complete('a', { ...few, grammar: 'root ::= (' }));
            await failing(model.complete([1e9]));
            await failing(
                model.complete('a', {
                    ...few,
                    onLogits() {
                        throw new Error('enough');
                    },
                }),
            );
        },
        together: (i) => Promise.all([1, 2, 3].map(async (n) => model.complete(`${n} ${text(i)}`, few))),
        embed: (i) => embedder.embed(text(i)),
        embedByTheOther: (i) => model.embed(text(i), { pooling: 'mean' }),
        rerank: (i) => failing(embedder.rerank(text(i), ['a', 'b'])), // it is no reranker
        adapter: async (i) => {
            await model.addAdapter(adapter, { name: 'a' });
            await model.complete(text(i), { ...few, adapters: [{ name: 'a', scale: 1 + (i % 3) }] });
            await model.removeAdapter('a');
            await failing(model.addAdapter(adapter.subarray(0, 2000), { name: 'b' }));
        },
        restore: async (i) => {
            await model.complete(text(i), few);
            const saved = await model.save();
            await model.complete(text(i + 1), few);
            await model.restore(saved);
            await failing(model.restore(saved.subarray(0, saved.length - 4)));
        },
        tokenize: async (i) => model.detokenize(await model.tokenize(text(i).repeat(20))),
        template: (i) => model.applyTemplate(text(i)),
        logits: async (i) => {
            for await (const _ of model.logits(await model.tokenize(text(i)))) break;
        },
        openai: async (i) => {
            const request = { messages: [{ role: 'user', content: text(i) }], max_tokens: 4, n: 2 };
            for await (const _ of await model.chat.completions.create({ ...request, stream: true }));
            await model.embeddings.create({ input: text(i) });
        },
    };
}

export const embedderFile = new URL('../fixtures/encoders/bert.gguf', import.meta.url);
