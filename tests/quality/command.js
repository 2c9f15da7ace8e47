// What the scripts of tests/quality share: running nibble's command, and reading the two texts.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Runs nibble's command with --json, and with the threads of NIBBLE_THREADS.
 * @param {string[]} args
 * @returns {any} what the command prints as JSON
 */
export function nibble(...args) {
    const threads = process.env.NIBBLE_THREADS ? ['--threads', process.env.NIBBLE_THREADS] : [];
    const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [`${root}web/cli.js`, ...args, ...threads, '--json'],
        {
            encoding: 'utf8',
            maxBuffer: 1 << 28,
        },
    );
    if (status !== 0) throw new Error(`nibble ${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout);
}

/**
 * What a function returns, or what it returned before for an equal key: a run that was interrupted continues.
 * @template T
 * @param {string} record path of the file that keeps the result
 * @param {unknown} key
 * @param {() => T} make
 * @returns {T}
 */
export function remembered(record, key, make) {
    const wanted = createHash('sha256').update(JSON.stringify(key)).digest('hex');
    if (existsSync(record)) {
        const { key: other, result } = JSON.parse(readFileSync(record, 'utf8'));
        if (other === wanted) return result;
    }
    const result = make();
    writeFileSync(record, JSON.stringify({ key: wanted, result }));
    return result;
}

/**
 * Runs nibble, or takes what the same command gave before.
 * @param {string} out the file or folder that the command writes; OUT.json keeps what it printed
 * @param {string[]} args
 */
export function once(out, args) {
    if (!existsSync(out)) rmSync(`${out}.json`, { force: true });
    return remembered(`${out}.json`, args, () => {
        rmSync(out, { force: true, recursive: true });
        return nibble(...args);
    });
}

/**
 * @param {string} name of an environment variable
 * @param {string} command which needs it
 * @returns {{ path: string, text: string }}
 */
export function textOf(name, command) {
    const path = process.env[name];
    if (!path) throw new Error(`${name} is not set: it must name a text file. The command is: ${command}`);
    return { path, text: readFileSync(path, 'utf8') };
}

/**
 * The calibration text and the evaluation text, which must differ.
 * @param {string} command which needs them
 */
export function twoTexts(command) {
    const calibration = textOf('NIBBLE_CALIBRATION', command),
        evaluation = textOf('NIBBLE_EVALUATION', command);
    if (calibration.text === evaluation.text)
        throw new Error('the calibration text and the evaluation text are the same');
    return { calibration, evaluation };
}
