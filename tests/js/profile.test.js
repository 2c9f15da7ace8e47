// bench --profile: each sample between the first and the last function belongs to one phase, and the phases add up to
// about the time that passed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { phasesOf } from '../../web/cli/profile.js';
import { builds, missing, models, root } from '../support/builds.js';

/**
 * A profile made of samples of one millisecond, each a stack of functions, outermost first.
 * @param {string[]} stacks @returns {import('node:inspector').Profiler.Profile}
 */
function profileOf(...stacks) {
    /** @type {Map<string, import('node:inspector').Profiler.ProfileNode>} */
    const nodes = new Map();
    const samples = stacks.map((stack) => {
        const names = ['(root)', ...stack.split(' ')];
        const path = names.map((_, i) => names.slice(0, i + 1).join(' '));
        for (const [i, key] of path.entries()) {
            if (nodes.has(key)) continue;
            const url = names[i].includes('.') ? 'file:///engine.js' : names[i].startsWith('(') ? '' : 'wasm://wasm/0';
            const callFrame = { functionName: names[i], url, scriptId: '0', lineNumber: 0, columnNumber: 0 };
            nodes.set(key, { id: nodes.size + 1, callFrame, children: [] });
            if (i > 0) nodes.get(path[i - 1])?.children?.push(nodes.size);
        }
        return nodes.get(path[names.length - 1])?.id ?? 0;
    });
    return { nodes: [...nodes.values()], startTime: 0, endTime: 0, samples, timeDeltas: samples.map(() => 1000) };
}

test("a sample's phase is that of its innermost function that has one", () => {
    const layers = 'engine.advance nb_session_advance forward';
    const phases = phasesOf(
        profileOf(
            '(program)', // before the first function: not counted
            'engine.generate', // the first function: it only marks the beginning
            `${layers} nb_matmul nb_parallel run_chunk nb_matmul_q4_1_q16__simd128`,
            `${layers} nb_matmul nb_parallel run_chunk nb_matmul_q6_k_q16__relaxed`,
            `${layers} nb_matmul nb_parallel run_chunk nb_matmul_any_f32__relaxed nb_dequantize_bf16`,
            `${layers} nb_matmul nb_parallel run_chunk nb_matmul_any_f32__relaxed`,
            `${layers} nb_matmul nb_parallel`, // in nb_parallel itself, the thread waits
            `${layers} nb_attend nb_parallel sleep_while`,
            `${layers} nb_attend nb_parallel attend_span attend_segment`,
            `${layers} nb_parallel attend_alone`, // V8 inlined the caller, nb_attend
            `${layers} nb_parallel run_tokens gate nb_silu_multiply`,
            `${layers} nb_parallel quantize_chunk`,
            'engine.generate nb_session_generate nb_sampler_next expf',
            'engine.push nb_detokenizer_push',
            'engine.advance nb_integer_session_advance nb_integer_multiply nb_parallel run_rows',
            'engine.advance nb_integer_session_advance nb_parallel run_rows', // the same without nb_integer_multiply
            'engine.advance nb_integer_session_advance nb_parallel chunk nb_integer_attend',
            'engine.advance nb_integer_session_advance nb_parallel chunk nb_integer_norm',
            'engine.advance nb_integer_session_advance nb_parallel chunk nb_integer_codes_of',
            'engine.generate nb_integer_session_choose',
            'engine.load nb_loader_push',
            'engine.push (program)',
            'engine.yieldToEvents',
            '(idle)', // after the last function: not counted
            '(program)',
        ),
    );
    assert.deepEqual(Object.fromEntries(phases.map(({ phase, ms }) => [phase, ms])), {
        'matmul q4_1': 1,
        'matmul q6_k': 1,
        'dequantizing bf16': 1,
        'matmul as F32': 1,
        'matmul int8': 2,
        'waiting for threads': 2,
        attention: 3,
        'norms, RoPE, activation functions': 2,
        'quantizing activations': 2,
        sampling: 2,
        text: 1,
        'other WebAssembly': 1,
        JavaScript: 2,
    });
});

test('the builds of the integer engine keep the names that tell its phases apart', async () => {
    for (const name of ['integer', 'integer-threads']) {
        const module = await WebAssembly.compile(readFileSync(`${root}build/wasm/nibble-${name}.wasm`)),
            names = WebAssembly.Module.customSections(module, 'name').map((bytes) =>
                Buffer.from(bytes).toString('latin1'),
            );
        for (const phase of ['multiply', 'attend', 'codes', 'session_advance', 'session_choose'])
            assert.ok(names.join().includes(`nb_integer_${phase}`), `${name}: nb_integer_${phase}`);
        assert.ok(names.join().includes('run_rows'), name);
    }
});

/** @typedef {import('../../web/cli/profile.js').TimeSpent} TimeSpent */

/** @param {string[]} args @returns {Record<'prompt' | 'generate', TimeSpent>} */
function profile(...args) {
    const command = [`${root}web/cli.js`, 'bench', ...args, '--profile', '--json'];
    const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout).profile;
}

/** The phases without waiting. With threads, waiting depends on other programs. @param {TimeSpent} spent */
const working = ({ phases }) => phases.filter(({ phase }) => phase !== 'waiting for threads');

/** @param {import('../../web/cli/profile.js').Phase[]} phases */
const sum = (phases) => phases.reduce((total, { ms }) => total + ms, 0);

for (const { name, threads } of builds.filter(({ supported }) => supported))
    test(`${name}: matrix products are most of the real model's work, and the phases add up`, {
        skip: missing(models.realMissing),
    }, () => {
        const times = profile(
            models.real,
            '--build',
            name,
            '--threads',
            threads ? '2' : '1',
            '--prompt-tokens',
            '64',
            '--generate-tokens',
            '32',
            '--repetitions',
            '1',
        );
        for (const [part, spent] of Object.entries(times)) {
            // the clock includes the messages to the engine's thread and back, which a busy machine delays
            const all = sum(spent.phases),
                told = `${part}: phases of ${all} ms in ${spent.ms} ms`;
            assert.ok(all < 1.05 * spent.ms + 1 && all > 0.75 * spent.ms - 20, told);
            const work = working(spent),
                names = work.map(({ phase }) => phase);
            // while it generates, attention and norms may take so little time that no sample falls into them, so they
            // are only expected in the prompt
            for (const phase of part === 'prompt' ? [/^attention$/, /^norms/] : [])
                assert.ok(
                    names.some((name) => phase.test(name)),
                    `${part}: no ${phase} in ${names}`,
                );
            assert.match(names[0], /^matmul q/, part);
            const share = sum(work.filter(({ phase }) => phase.startsWith('matmul '))) / sum(work);
            assert.ok(share > 0.5, `${part}: matrix products are ${share} of ${JSON.stringify(work)}`);
        }
        assert.equal(working(times.prompt)[0].phase, 'matmul q4_1');
    });

test('the tiny model: without --json, a table has the time and share of each phase, and at its end the whole', () => {
    const command = [`${root}web/cli.js`, 'bench', models.tiny, '--profile', '--repetitions', '10'];
    const { stdout } = spawnSync(process.execPath, command, { encoding: 'utf8' });
    const [all] = stdout.split('\n').slice(-2);
    assert.match(stdout, /^where the time goes +prompt +generate$/m);
    // in a few milliseconds it is chance which phases the profiler sees, above all on a busy machine
    assert.match(stdout, /^(?!all )\S.* +[\d.]+ ms +[\d.]+ % +[\d.]+ ms +[\d.]+ %$/m);
    assert.match(all, /^all +[\d.]+ ms +100\.0 % +[\d.]+ ms +100\.0 %$/);
});
