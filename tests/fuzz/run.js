// Runs every fuzz target: node tests/fuzz/run.js SECONDS [BUILD...]
//   BUILD: checked (the default), memory or 32 (see build.sh): each target runs for SECONDS;
//          lines: each target replays its corpus, and the line coverage of src/text, src/models and src/convert is
//          printed.
// A target fuzz_<subject>.c is built by `./build.sh fuzz`. <subject>_seeds.py or .js, if there, writes its seeds. The
// corpus grows in build/fuzz/<subject>. The dictionary, build/fuzz/words, has words of the core's sources. An input
// that fails is written to build/fuzz/broken-<subject>-*; build/fuzz-BUILD/fuzz_<subject> FILE runs it again.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const [seconds = '60', ...wanted] = process.argv.slice(2);
const builds = wanted.length > 0 ? wanted : ['checked'];

/** Folders whose line coverage is checked, and the least percentage. */
const COVERED = ['src/text', 'src/models', 'src/convert'],
    ENOUGH = 90;

/** An input that takes longer is reported. It is time by the clock: on a busy machine a process may not run for 20
 * seconds, while no input takes more than one of its own. */
const STUCK_SECONDS = 60;

const LLVM = '/usr/lib/llvm-22/bin/';

/** @param {string} program @param {string[]} args @param {Record<string, string>} [environment] */
function run(program, args, environment) {
    return new Promise((/** @type {(end: { passed: boolean, words: string }) => void} */ resolve, reject) => {
        let words = '';
        const child = spawn(program, args, {
            cwd: root,
            env: { ...process.env, ...environment },
            stdio: ['ignore', 'pipe', 'pipe'],
        });
        for (const stream of [child.stdout, child.stderr])
            stream.setEncoding('utf8').on('data', (text) => {
                words += text;
            });
        child.on('error', reject);
        child.on('close', (status) => {
            if (status) console.log(words);
            resolve({ passed: status === 0, words });
        });
    });
}

/** Runs f for each item, as many at a time as there are cores.
 * @template T @param {T[]} items @param {(item: T) => Promise<void>} f */
async function each(items, f) {
    const queue = [...items];
    await Promise.all(
        Array.from({ length: availableParallelism() }, async () => {
            for (let item = queue.shift(); item !== undefined; item = queue.shift()) await f(item);
        }),
    );
}

const subjects = readdirSync(new URL('.', import.meta.url))
    .filter((file) => /^fuzz_.*\.c$/.test(file))
    .sort()
    .map((file) => file.slice('fuzz_'.length, -'.c'.length));
let failed = 0;

for (const subject of subjects) {
    mkdirSync(`${root}build/fuzz/${subject}`, { recursive: true });
    for (const [program, seeds] of [
        ['python3', `tests/fuzz/${subject}_seeds.py`],
        [process.execPath, `tests/fuzz/${subject}_seeds.js`],
    ])
        if (existsSync(root + seeds) && !(await run(program, [seeds, `build/fuzz/${subject}`])).passed)
            throw new Error(`${seeds} failed`);
}

// the dictionary: names of keys, types and modules in the sources
const sources = ['src/text', 'src/models', 'src/convert', 'src/formats']
    .flatMap((folder) => readdirSync(root + folder, { recursive: true }).map((file) => `${root}${folder}/${file}`))
    .filter((path) => path.endsWith('.c'));
const words = sources.flatMap((path) => readFileSync(path, 'utf8').match(/"[\w.-]{3,40}"/g) ?? []);
writeFileSync(`${root}build/fuzz/words`, [...new Set(words)].join('\n'));

for (const build of builds.filter((build) => build !== 'lines'))
    await each(subjects, async (subject) => {
        const { passed, words } = await run(`build/fuzz-${build}/fuzz_${subject}`, [
            `-max_total_time=${seconds}`,
            `-timeout=${STUCK_SECONDS}`,
            '-verbosity=0',
            '-print_final_stats=1',
            '-dict=build/fuzz/words',
            `-artifact_prefix=build/fuzz/broken-${subject}-`,
            `build/fuzz/${subject}`,
        ]);
        const inputs = /executed_units: (\d+)/.exec(words)?.[1] ?? 'some';
        console.log(`${passed ? 'ok  ' : 'FAIL'} fuzz_${subject}, ${build}: ${inputs} inputs`);
        failed += passed ? 0 : 1;
    });

if (builds.includes('lines')) {
    const profile = (/** @type {string} */ subject) => `build/fuzz/${subject}.profraw`;
    await each(subjects, async (subject) => {
        const { passed } = await run(
            `build/fuzz-lines/fuzz_${subject}`,
            ['-runs=0', '-verbosity=0', `-artifact_prefix=build/fuzz/broken-${subject}-`, `build/fuzz/${subject}`],
            { LLVM_PROFILE_FILE: profile(subject) },
        );
        failed += passed ? 0 : 1;
    });
    await run(`${LLVM}llvm-profdata`, ['merge', '-o', 'build/fuzz/lines.profdata', ...subjects.map(profile)]);
    const { words } = await run(`${LLVM}llvm-cov`, [
        'export',
        '-summary-only',
        '-instr-profile=build/fuzz/lines.profdata',
        ...subjects.map((subject, i) => `${i > 0 ? '-object=' : ''}build/fuzz-lines/fuzz_${subject}`),
    ]);
    /** @type {{ filename: string, summary: { lines: { count: number, covered: number } } }[]} */
    const files = JSON.parse(words.slice(words.indexOf('{'))).data[0].files;
    for (const folder of COVERED) {
        const own = files
            .filter(({ filename }) => filename.includes(`${folder}/`))
            .map(({ filename, summary }) => ({ filename, ...summary.lines }));
        const sum = (/** @type {'count' | 'covered'} */ key) => own.reduce((total, lines) => total + lines[key], 0);
        const percent = (100 * sum('covered')) / sum('count');
        failed += percent >= ENOUGH ? 0 : 1;
        console.log(
            `${percent >= ENOUGH ? 'ok  ' : 'FAIL'} ${folder}: ${percent.toFixed(1)} % of ${sum('count')} lines run`,
        );
        for (const { filename, count, covered } of own.filter((lines) => lines.covered < (ENOUGH / 100) * lines.count))
            console.log(`         ${filename.slice(filename.indexOf(folder))}: ${covered} of ${count}`);
    }
}
process.exitCode = failed ? 1 : 0;
