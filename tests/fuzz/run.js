// Runs every fuzz target: node tests/fuzz/run.js SECONDS
// A target fuzz_<subject>.c is built by `./build.sh fuzz`; <subject>_seeds.py FOLDER, if there, writes seeds for it. Its
// corpus grows in build/fuzz/<subject>; an input that breaks it lies in build/fuzz/broken-<subject>-*, to be run again with
// build/native/fuzz_<subject> FILE.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const seconds = process.argv[2] ?? '60';

/** @param {string} program @param {string[]} args */
function run(program, args) {
    const { status, error, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
    if (error) throw error;
    if (status) console.log(stdout + stderr);
    return { passed: status === 0, words: stderr };
}

let failed = 0;
for (const name of readdirSync(new URL('.', import.meta.url)).filter(file => /^fuzz_.*\.c$/.test(file)).sort()) {
    const subject = name.slice('fuzz_'.length, -'.c'.length);
    const corpus = `build/fuzz/${subject}`, seeds = `tests/fuzz/${subject}_seeds.py`;
    mkdirSync(root + corpus, { recursive: true });
    if (existsSync(root + seeds) && !run('python3', [seeds, corpus]).passed) throw new Error(`${seeds} failed`);
    const { passed, words } = run(`build/native/fuzz_${subject}`, [`-max_total_time=${seconds}`, '-timeout=10', '-verbosity=0',
        '-print_final_stats=1', `-artifact_prefix=build/fuzz/broken-${subject}-`, corpus]);
    console.log(`${passed ? 'ok  ' : 'FAIL'} fuzz_${subject}: ${/executed_units: (\d+)/.exec(words)?.[1] ?? 'some'} inputs`);
    failed += passed ? 0 : 1;
}
process.exitCode = failed ? 1 : 0;
