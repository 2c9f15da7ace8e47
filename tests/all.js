// Runs all tests, as the last step of `make test`, and ends with one line that counts them: node tests/all.js
// The JavaScript suite runs twice: on this Node, and on Node 24, which has relaxed SIMD (builds.js).
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { node24, root, testFiles } from './support/builds.js';
import { forget } from './support/tested.js';

const TIMEOUT_MINUTES = 20; // for one step

/** Whether one Node is enough: for tests of pages, and for files with such a comment. @param {string} name */
const runsOnce = (name) =>
    name.startsWith('tests/page/') || /^\/\/ Runs once: /m.test(readFileSync(`${root}${name}`, 'utf8'));

/** @type {{ name: string, command: string[] }[]} */
const steps = [
    { name: 'C suite, native', command: [`${root}build/native/core-tests`] },
    { name: 'C suite, native, 32 bits', command: [`${root}build/native/core-tests-32`] },
    ...['simd128', 'simd128-threads', 'relaxed', 'relaxed-threads'].map((build) => ({
        name: `C suite, ${build}`,
        command: [build.startsWith('relaxed') ? node24 : process.execPath, 'tests/core/run.js', build],
    })),
    // A short run finds no deep bug, but shows that the targets work and that bugs which they found stay fixed. `make
    // fuzz` runs longer.
    { name: 'fuzz targets, 10 seconds each', command: [process.execPath, 'tests/fuzz/run.js', '10'] },
    { name: 'lint', command: ['tools/lint.sh'] },
    { name: 'clang-tidy and the static analyzer', command: ['./build.sh', 'analyze'] },
    { name: 'types', command: [process.execPath, 'node_modules/typescript/bin/tsc'] },
    {
        name: 'types of the service worker',
        command: [process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.worker.json'],
    },
];
for (const node of [process.execPath, node24]) {
    const chosen = testFiles().filter((name) => node === process.execPath || !runsOnce(name));
    steps.push({
        name: node === node24 ? 'JavaScript suite, Node 24' : `JavaScript suite, Node ${process.versions.node}`,
        command: [node, '--test', '--test-reporter=spec', ...chosen],
    });
}

// it compares the page with the results of the steps before
steps.push({ name: 'tables of docs/support.md', command: [process.execPath, 'tests/support/tables.js'] });
forget();

/** @param {string[]} command @returns {Promise<{ output: string, ok: boolean }>} */
function run([program, ...args]) {
    return new Promise((resolve) => {
        let output = '';
        const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
        const timer = setTimeout(() => {
            console.log(`killed: it took more than ${TIMEOUT_MINUTES} minutes`);
            child.kill('SIGKILL');
        }, TIMEOUT_MINUTES * 60_000);
        child.stdout.setEncoding('utf8').on('data', (text) => {
            process.stdout.write(text);
            output += text;
        });
        child.on('error', (error) => console.log(error.message));
        child.on('close', (code) => {
            clearTimeout(timer);
            resolve({ output, ok: code === 0 });
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

const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {string[]} */
const summary = [];
for (const { name, command } of steps) {
    console.log(`\n==== ${name} ====`);
    const start = Date.now();
    const { output, ok } = await run(command);
    const { passed, failed, skipped } = count(output, ok);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
    const seconds = ((Date.now() - start) / 1000).toFixed(1);
    summary.push(
        `${failed ? 'FAIL' : 'ok  '} ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)`,
    );
}
console.log(`\n${summary.join('\n')}\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed || !total.passed ? 1 : 0;
