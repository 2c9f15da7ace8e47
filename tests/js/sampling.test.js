// Options of sampling reach the core, from the API and from the command line. (What each step leaves is compared with
// llama.cpp in tests/core/test_sampler_steps.c.)
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parse } from '../../web/cli/flags.js';
import { load } from '../../web/index.js';
import { GENERATE_OPTIONS } from '../../web/options.js';
import { stepsOf } from '../../web/samplers.js';
import { models } from '../support/builds.js';

describe('sampling', () => {
    const prompt = 'Once upon a time there was a dog. Once upon a time there was a dog. Once upon a';
    /** @type {import('../../web/index.d.ts').Model} */
    let model;
    before(async () => {
        model = await load(models.tiny, { threads: 1 });
    });
    after(() => model.dispose());

    /** @param {import('../../web/index.d.ts').GenerateOptions} options */
    const text = async (options) => (await model.complete(prompt, { maxTokens: 24, seed: 5, ...options })).text;

    it('each option alone changes what is drawn', async () => {
        const all = { temperature: 1.5, topK: 0, topP: 1, minP: 0 },
            plain = await text(all);
        assert.equal(
            await text({ ...all, xtcThreshold: 0.01, dryBase: 3, mirostatTau: 1, dynatempExponent: 3 }),
            plain,
        );
        /** @type {import('../../web/index.d.ts').GenerateOptions[]} */
        const each = [
            {},
            { topNSigma: 0.5 },
            { typicalP: 0.1 },
            { xtcProbability: 1, xtcThreshold: 0.01 },
            { xtcProbability: 1, xtcThreshold: 0.2 },
            { xtcProbability: 0.3, xtcThreshold: 0.01 },
            { dynatempRange: 1.4 },
            { dynatempRange: 1.4, dynatempExponent: 4 },
            { mirostat: 1, mirostatTau: 3 },
            { mirostat: 2, mirostatTau: 3 },
            { mirostat: 2, mirostatTau: 4 },
            { mirostat: 2, mirostatTau: 3, mirostatEta: 2 },
            { dryMultiplier: 0.2, dryAllowedLength: 1, dryBase: 1 },
            { dryMultiplier: 0.2, dryAllowedLength: 1, dryBase: 2 },
            { dryMultiplier: 0.2, dryAllowedLength: 8, dryBase: 2 },
            { samplers: [] },
        ];
        const texts = await Promise.all(each.map((options) => text({ ...all, ...options })));
        for (const [i, other] of texts.entries())
            assert.equal(texts.indexOf(other), i, `${JSON.stringify(each[i])} changes nothing`);
    });

    it('the order counts, and what is not named is off', async () => {
        const options = { temperature: 3, minP: 0.3, topK: 0, topP: 1 };
        const first = await text({ ...options, samplers: ['min_p', 'temperature'] }),
            last = await text({ ...options, samplers: ['temperature', 'min_p'] });
        assert.notEqual(first, last);
        assert.equal(await text(options), first); // the default order
        assert.equal(
            await text({ ...options, samplers: ['temperature'] }),
            await text({ ...options, minP: 0, samplers: ['temperature'] }),
        );
        assert.equal(stepsOf(['top_k', 'temperature']), 0x72);
        assert.equal(stepsOf(['top_n_sigma', 'top_k', 'typ_p', 'top_p', 'min_p', 'xtc', 'temperature']), 0x7654321);
    });

    it('DRY ends a greedy repetition, unless a breaker is in it', async () => {
        const dry = { dryMultiplier: 100, dryAllowedLength: 1 },
            plain = await text({}),
            other = await text(dry);
        assert.notEqual(other, plain);
        assert.equal(await text({ ...dry, drySequenceBreakers: [' '] }), plain); // each word begins with one
        assert.notEqual(await text({ ...dry, drySequenceBreakers: [] }), plain);
        assert.equal(await text({ ...dry, dryPenaltyLast: 0 }), plain);
    });

    it('mirostat 2 with a small tau draws likelier tokens than with a large one', async () => {
        const distinct = async (/** @type {number} */ mirostatTau) => {
            const answers = Array.from({ length: 8 }, (_, seed) =>
                text({ temperature: 1, mirostat: 2, mirostatTau, seed }),
            );
            return new Set(await Promise.all(answers)).size;
        };
        assert.equal(await distinct(0), 1);
        assert.equal(await distinct(8), 8);
    });

    it('wrong values are refused by name', async () => {
        const wrong = (/** @type {any} */ options, /** @type {RegExp} */ message) =>
            assert.rejects(async () => model.complete('A', options), message);
        for (const options of [{ mirostat: 2 }, { typicalP: 0.5 }, { samplers: ['top_k'] }, { xtcProbability: 0.5 }])
            await wrong(options, /complete\(\): \w+ has an effect only with a temperature above 0/);
        await wrong({ samplers: ['top-k'] }, /samplers must be names among top_n_sigma, top_k, .*, not "top-k"/);
        await wrong({ samplers: ['top_k', 'top_k'] }, /samplers names a step twice/);
        await wrong({ mirostat: 3 }, /mirostat must be a whole number from 0 to 2, not 3/);
        await wrong({ dryBase: 0.5 }, /dryBase must be a number from 1 to 100, not 0.5/);
        await wrong(
            { dryMultiplier: 1, drySequenceBreakers: ['x'.repeat(64)] },
            /a sequence breaker has 64 bytes; it must have 1 to 63/,
        );
        await wrong(
            { dryMultiplier: 1, drySequenceBreakers: Array.from({ length: 33 }, (_, i) => `${i}`) },
            /more than 32 sequence breakers/,
        );
        assert.ok(await text({})); // the model still answers
    });

    it('each option has a flag, and names may be one list', () => {
        const steps = ['--samplers', 'temperature; min_p;', '--mirostat', '2'];
        assert.throws(() => parse('run', ['m.gguf', ...steps]), /--mirostat has an effect only with a temperature/);
        const values = parse('run', ['m.gguf', ...steps, '--temperature', '1'])?.values;
        assert.deepEqual([values?.samplers, values?.mirostat], [['temperature', 'min_p'], 2]);
        // the command loads adapters by a flag of its own, --adapter
        const without = Object.entries(GENERATE_OPTIONS).filter(([, { flag }]) => !flag);
        assert.deepEqual(
            without.map(([name]) => name),
            ['adapters'],
        );
    });
});
