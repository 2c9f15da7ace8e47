// Whether the CPU has an instruction for dot products of bytes, and which build is chosen then.
// Runs once: the processes are of Node 24, whichever runs this file.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { models, node24, root } from '../support/builds.js';

/** What Node 24 prints. @param {string[]} flags @param {string} code */
const run = (flags, code) =>
    execFileSync(node24, [...flags, '--input-type=module', '-e', code], { encoding: 'utf8' }).trim();

const url = (/** @type {string} */ path) => JSON.stringify(pathToFileURL(root + path).href),
    PROBE = `import { dotShare, hasDot } from ${url('web/worker/probe-dot.js')};`,
    LOAD = `import { load } from ${url('web/index.js')};`;

test('without the instruction the dot product is no faster than its parts', {
    skip: process.arch !== 'x64' && 'only on x86 does V8 have a switch for it',
}, () => {
    const [share, dot] = run(['--no-enable-avx-vnni'], `${PROBE} console.log(dotShare(), hasDot());`).split(' ');
    assert.ok(Number(share) >= 0.7 && dot === 'false', `${share} ${dot}`);
});

test('a clock that is too coarse says nothing, and does not take long', () => {
    const coarse = `const { now } = performance; performance.now = () => Math.floor(now.call(performance) / 100) * 100;`;
    const [share, dot, ms] = run(
        [],
        `${PROBE} ${coarse} const began = Date.now(); console.log(dotShare(), hasDot(), Date.now() - began);`,
    ).split(' ');
    assert.deepEqual([share, dot], ['undefined', 'false']);
    assert.ok(Number(ms) < 1000, ms);
});

test('the build for such CPUs is chosen where the instruction is, and answers the same', () => {
    const [dot, build, chosen, other] = JSON.parse(
        run(
            [],
            `${PROBE} ${LOAD}
            const answers = [];
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
