// Whether the CPU has an instruction for dot products of bytes, and which build is chosen then.
// Runs once: the processes are of Node 24, whichever runs this file.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { models, node24, root } from '../support/builds.js';

/** What Node 24 prints. @param {string[]} flags @param {string} code */
const run = (flags, code) =>
    execFileSync(node24, [...flags, '--input-type=module', '-e', code], { encoding: 'utf8' }).trim();

const url = (/** @type {string} */ path) => JSON.stringify(pathToFileURL(root + path).href),
    PROBE = `import { hasDot, probeDot } from ${url('web/worker/probe-dot.js')};`,
    LOAD = `import { load } from ${url('web/index.js')};`;

test('without the instruction the dot product is no faster than its parts', {
    skip: process.arch !== 'x64' && 'only on x86 does V8 have a switch for it',
}, () => {
    const [isRight, share, dot] = run(
        ['--no-enable-avx-vnni'],
        `${PROBE} const { isRight, share } = probeDot(); console.log(isRight, share, hasDot());`,
    ).split(' ');
    assert.deepEqual([isRight, dot], ['true', 'false']);
    assert.ok(Number(share) >= 0.7, share);
});

// what Linux tells of the CPU
const cpu = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
test('with the instruction it is faster', {
    skip: !/\bavx_vnni\b/.test(cpu) && 'the CPU lacks it, or nothing tells whether it has it',
}, () => {
    // other programs may disturb one probe
    const shares = run([], `${PROBE} console.log(...[1, 2, 3].map(() => probeDot().share));`).split(' ');
    assert.ok(
        shares.some((share) => Number(share) < 0.7),
        String(shares),
    );
});

// Pages that are not isolated may have steps of 1 ms, and browsers that hide what a device is, steps of 100 ms.
for (const [name, now, said] of /** @type {[string, string, RegExp][]} */ ([
    ['of 1 ms says something', 'Math.floor(now.call(performance))', /^\d(\.\d+)? (true|false)$/],
    ['of 100 ms says nothing', 'Math.floor(now.call(performance) / 100) * 100', /^Infinity false$/],
    ['that stands still says nothing', '4711', /^Infinity false$/],
]))
    test(`a clock ${name}, and does not take long`, () => {
        const clock = `const { now } = performance; performance.now = () => ${now};`;
        const [answer, ms] = run(
            [],
            `${PROBE} ${clock} const began = Date.now();
            console.log(probeDot().share, hasDot() + ',' + (Date.now() - began));`,
        ).split(',');
        assert.match(answer, said);
        assert.ok(Number(ms) < 2000, ms);
    });

test('wrong sums are seen, even in a later tier of compilation', () => {
    const wrong = (/** @type {string} */ when) => `
        const { Instance } = WebAssembly;
        WebAssembly.Instance = function (module) {
            const { f } = new Instance(module).exports;
            return { exports: { f: (count, parts) => f(count, parts) + (parts === 0 && ${when} ? 1 : 0) } };
        };`;
    for (const when of ['count < 100', 'count >= 1000'])
        assert.equal(
            run([], `${wrong(when)} ${PROBE} console.log(probeDot().isRight, hasDot());`),
            'false false',
            when,
        );
    assert.equal(run([], `${wrong('false')} ${PROBE} console.log(probeDot().isRight);`), 'true');
});

test('elsewhere a build for such CPUs runs if there is no other', { skip: process.arch !== 'x64' }, () => {
    const wasmUrl = Object.fromEntries(
        ['relaxed-dot', 'relaxed-dot-threads'].map((name) => [name, `${root}build/wasm/nibble-${name}.wasm`]),
    );
    const options = JSON.stringify({ threads: 1, wasmUrl });
    const build = run(
        ['--no-enable-avx-vnni'],
        `${LOAD} const model = await load(${JSON.stringify(models.tiny)}, ${options}); console.log(model.info.build);
        await model.dispose();`,
    );
    assert.equal(build, 'relaxed-dot');
});

test('builds with relaxed SIMD give the same numbers with and without these kernels', () => {
    const said = run(
        [],
        `${LOAD}
        for (const build of ['relaxed', 'relaxed-dot']) {
            const model = await load(${JSON.stringify(models.stories)}, { threads: 1, build });
            const options = { maxTokens: 12, temperature: 0, logprobs: true, topLogprobs: 5 };
            console.log(JSON.stringify((await model.complete('Once upon a time there was a cat', options)).logprobs));
            await model.dispose();
        }`,
    ).split('\n');
    assert.equal(said.length, 2);
    assert.ok(said[0].length > 1000, said[0]);
    assert.equal(said[0], said[1]);
});

test('the build for such CPUs is chosen where the instruction is, and answers the same', () => {
    const [dot, build, chosen, other] = JSON.parse(
        run(
            [],
            `${PROBE} ${LOAD}
            const ask = async (options) => {
                const model = await load(${JSON.stringify(models.stories)}, { threads: 1, ...options });
                const { text } = await model.complete('Once upon a time', { maxTokens: 24, temperature: 0 });
                await model.dispose();
                return [model.info.build, text];
            };
            const [build, chosen] = await ask({});
            const [, other] = await ask({ build: 'simd128' });
            console.log(JSON.stringify([hasDot(), build, chosen, other]));`,
        ),
    );
    assert.equal(build, dot ? 'relaxed-dot' : 'relaxed');
    assert.equal(chosen, other);
});
