// Greedy text is llama.cpp's, token for token, in every build and for every number of threads. If a token differs,
// llama.cpp's two best logits must be within TIE there; the comparison then goes on from llama.cpp's choice.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { missing, models, root } from '../support/builds.js';
import { fewConfigurations, greedyVectors } from '../support/vectors.js';

const TIE = 1e-2,
    TOKENS = 64;
const { greedy: prompts } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8'));

/** @param {import('../../web/index.d.ts').Model} model
 * @param {import('../support/vectors.js').GreedyCase} expected
 * @param {import('node:test').TestContext} t */
async function compare(model, expected, t) {
    const tokens = expected.tokens.slice(0, TOKENS);
    for (let at = 0; at < tokens.length; ) {
        const prompt = [...expected.prompt, ...tokens.slice(0, at)];
        const ours = (await model.complete(prompt, { maxTokens: tokens.length - at, temperature: 0, ignoreEnd: true }))
            .tokens;
        assert.equal(ours.length, tokens.length - at);
        const same = ours.findIndex((token, i) => token !== tokens[at + i]);
        if (same < 0) return;
        at += same;
        const [, first, second, next] = expected.best[at];
        const parted =
            `"${expected.name}" parts from llama.cpp at token ${at}: ${ours[same]} instead of ${tokens[at]} ` +
            `(its logits ${first} and, of token ${second}, ${next})`;
        assert.equal(ours[same], second, parted);
        assert.ok(first - next <= TIE, parted);
        t.diagnostic(`a tie: ${parted}`);
        at++;
    }
}

for (const [name, file, skip] of /** @type {[string, string, string | false][]} */ ([
    ['tiny', models.tiny, false],
    ['smollm2', models.real, missing(models.realMissing)],
    ['gemma3', models.gemma, models.gemmaMissing],
])) {
    const cases = greedyVectors(`llamacpp/${name}-greedy.json`);
    for (const { build, threads } of fewConfigurations())
        test(`${name}, ${build}, ${threads} threads: greedy text is llama.cpp's`, {
            skip,
            timeout: 300_000,
        }, async (t) => {
            const model = await load(file, { build, threads, contextLength: 512 });
            try {
                assert.equal(model.info.build, build);
                assert.equal(model.info.threads, threads);
                for (const expected of cases) await compare(model, expected, t);
            } finally {
                await model.dispose();
            }
        });

    test(`${name}: prompts and rendered chats become llama.cpp's tokens`, { skip }, async () => {
        const model = await load(file, { threads: 1, contextLength: 512 });
        try {
            for (const { name: which, text, special, prompt } of cases) {
                assert.deepEqual(await model.tokenize(text, { special }), prompt, which);
                const { chat } = prompts.find((/** @type {any} */ p) => p.name === which);
                if (!chat) continue;
                const answer = await model.chat(chat, { maxTokens: 1, temperature: 0 });
                assert.equal(answer.promptTokens, prompt.length, which);
            }
        } finally {
            await model.dispose();
        }
    });
}

test('the vectors are enough: at least 8 prompts of at least 64 tokens', () => {
    for (const name of ['tiny', 'smollm2'])
        assert.ok(greedyVectors(`llamacpp/${name}-greedy.json`).filter((c) => c.tokens.length >= TOKENS).length >= 8);
});
