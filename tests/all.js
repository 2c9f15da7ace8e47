// Runs all tests, as the last step of `make test`, and ends with one line that counts them: node tests/all.js
// The JavaScript suite runs twice: on this Node, and on Node 24, which has relaxed SIMD. There it tests the relaxed
// builds only, because the others have been tested by then (builds.js).
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { node24, root, testFiles } from './support/builds.js';
import { forget } from './support/tested.js';

const TIMEOUT_MINUTES = 30; // for one step; the longest takes half of it on two cores
const FILES_AT_A_TIME = Math.max(2, availableParallelism() - 1);
const LINES_TOLD_AGAIN = 60; // of a step that failed, after the summary

/** Whether one Node is enough: for files with such a comment. @param {string} name */
const runsOnce = (name) => /^\/\/ Runs once: /m.test(readFileSync(`${root}${name}`, 'utf8'));

/** record: a file, relative to the root, with what a suite reports.
 * @typedef {{ name: string, command: string[], environment?: Record<string, string>, record?: string }} Step */

/** @param {string} build @returns {Step} */
const coreTests = (build) => ({
    name: `C suite, ${build}`,
    command: [build.startsWith('relaxed') ? node24 : process.execPath, 'tests/core/run.js', build],
});

/** @param {string} name @param {string} node @param {string[]} files @param {number} atOnce how many of them
 * @param {Record<string, string>} [environment] */
function suite(name, node, files, atOnce, environment) {
    const record = `build/${name.replace(/\W+/g, '-')}.tap`,
        reporters = [
            ['spec', 'stdout'],
            ['tap', record],
        ].flatMap(([reporter, to]) => [`--test-reporter=${reporter}`, `--test-reporter-destination=${to}`]);
    // Node's own choice leaves a core free, which on two cores means one file at a time.
    const command = [node, '--test', `--test-concurrency=${atOnce}`, ...reporters, ...files];
    return { name, command, environment, record };
}

/**
 * How the processes of files ended that did not end well by themselves: the reporter "spec" does not tell.
 * @param {string} record
 */
function endings(record) {
    const text = existsSync(root + record) ? readFileSync(root + record, 'utf8') : '';
    return [...text.matchAll(/^not ok \d+ - (\S+)\n(?: {2}.*\n)*? {2}exitCode: (.*)\n {2}signal: (.*)$/gm)].map(
        ([, file, code, signal]) => `${file}: exit code ${code}, signal ${signal}`,
    );
}

const inNode = testFiles().filter((name) => !name.startsWith('tests/page/')),
    inPages = testFiles().filter((name) => name.startsWith('tests/page/'));

/** Steps in their order. Those of one list run at the same time: each of them keeps about one core busy.
 * @type {Step[][]} */
const steps = [
    [
        { name: 'C suite, native', command: [`${root}build/native/core-tests`] },
        { name: 'C suite, native, 32 bits', command: [`${root}build/native/core-tests-32`] },
    ],
    [coreTests('simd128'), coreTests('relaxed')],
    // relaxed-dot-threads differs from relaxed-dot in the pool only, which the suite of JavaScript runs
    [coreTests('simd128-threads'), coreTests('relaxed-dot')],
    [
        coreTests('relaxed-threads'),
        { name: 'types', command: [process.execPath, 'node_modules/typescript/bin/tsc'] },
        {
            name: 'types of the service worker',
            command: [process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.worker.json'],
        },
        { name: 'lint', command: ['tools/lint.sh'] },
    ],
    // A short run finds no deep bug, but shows that the targets work and that bugs which they found stay fixed. `make
    // fuzz` runs longer.
    [{ name: 'fuzz targets, 5 seconds each', command: [process.execPath, 'tests/fuzz/run.js', '5'] }],
    [{ name: 'clang-tidy and the static analyzer', command: ['./build.sh', 'analyze'] }],
    [suite(`JavaScript suite, Node ${process.versions.node}`, process.execPath, inNode, FILES_AT_A_TIME)],
    // two browsers at once keep a worker from starting within the time that load() gives it
    [suite('pages', process.execPath, inPages, 1)],
    [
        suite(
            'JavaScript suite, Node 24',
            node24,
            inNode.filter((name) => !runsOnce(name)),
            FILES_AT_A_TIME,
            { NIBBLE_BUILDS: 'relaxed' },
        ),
    ],
    // it compares the page with the results of the steps before
    [{ name: 'tables of docs/support.md', command: [process.execPath, 'tests/support/tables.js'] }],
];
forget();

/**
 * @param {Step} step
 * @param {boolean} live whether to print its output as it comes; otherwise it is printed at the end
 * @returns {Promise<{ name: string, output: string, ok: boolean, seconds: number }>}
 */
function run({ name, command: [program, ...args], environment, record }, live) {
    return new Promise((resolve) => {
        let output = '';
        const start = Date.now();
        const child = spawn(program, args, {
            cwd: root,
            env: { ...process.env, ...environment },
            stdio: ['ignore', 'pipe', 'inherit'],
        });
        const timer = setTimeout(() => {
            console.log(`killed: ${name} took more than ${TIMEOUT_MINUTES} minutes`);
            child.kill('SIGKILL');
        }, TIMEOUT_MINUTES * 60_000);
        child.stdout.setEncoding('utf8').on('data', (text) => {
            if (live) process.stdout.write(text);
            output += text;
        });
        child.on('error', (error) => console.log(error.message));
        child.on('close', (code) => {
            clearTimeout(timer);
            if (!live) process.stdout.write(output);
            if (record && code !== 0) for (const ending of endings(record)) console.log(ending);
            resolve({ name, output, ok: code === 0, seconds: (Date.now() - start) / 1000 });
        });
    });
}

/** The counts of a step, from the last lines of the C suite or of Node's test runner. Other steps count as one test.
 * @param {string} output @param {boolean} ok */
function count(output, ok) {
    const number = (/** @type {RegExp} */ pattern) => Number(pattern.exec(output)?.[1] ?? NaN);
    let passed = number(/^core \S+: (\d+) passed/m),
        failed = number(/^core \S+: \d+ passed, (\d+) failed/m),
        skipped = 0;
    if (Number.isNaN(passed)) {
        passed = number(/^ℹ pass (\d+)$/m);
        failed = number(/^ℹ fail (\d+)$/m) + number(/^ℹ cancelled (\d+)$/m);
        skipped = number(/^ℹ skipped (\d+)$/m);
    }
    if (Number.isNaN(passed + failed + skipped)) return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
    return { passed, failed: ok ? failed : Math.max(failed, 1), skipped };
}

/**
 * The lines of a failed step that say what failed: Node's runner lists its failures last; other steps end with theirs.
 * @param {string} output
 */
function failures(output) {
    const list = output.lastIndexOf('✖ failing tests:'),
        lines = output.trimEnd().slice(Math.max(list, 0)).split('\n');
    return list >= 0 ? lines.slice(0, LINES_TOLD_AGAIN) : lines.slice(-LINES_TOLD_AGAIN);
}

const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {string[]} */
const summary = [];
/** @type {string[]} */
const again = [];
for (const together of steps) {
    console.log(`\n==== ${together.map(({ name }) => name).join(' | ')} ====`);
    for (const { name, output, ok, seconds } of await Promise.all(
        together.map((step) => run(step, together.length === 1)),
    )) {
        const { passed, failed, skipped } = count(output, ok);
        total.passed += passed;
        total.failed += failed;
        total.skipped += skipped;
        const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
        summary.push(`${failed ? 'FAIL' : 'ok  '} ${name}: ${counts} (${seconds.toFixed(1)} s)`);
        if (failed) again.push(`\n==== ${name} failed: ====`, ...failures(output));
    }
}
// the end of a long log is what is read first
if (again.length > 0) console.log(again.join('\n'));
console.log(`\n${summary.join('\n')}\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed || !total.passed ? 1 : 0;
