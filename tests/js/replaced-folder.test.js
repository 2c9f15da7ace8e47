// nibble quantize --format --force: it replaces a folder that has only files of a model, and no other; and the old
// folder is not lost, whenever the run ends.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeFolder } from '../../web/cli/files.js';
import { root } from '../support/builds.js';

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

let folders = 0;
/** A source, and the folder to make. */
function place() {
    const folder = join(temporary, String(folders++)),
        [source, out] = [join(folder, 'source'), join(folder, 'made')];
    cpSync(`${root}tests/fixtures/quantize/plain`, source, { recursive: true });
    return { folder, source, out };
}

/** @param {string} source @param {string} out @param {string[]} flags */
const quantize = (source, out, ...flags) =>
    spawnSync(process.execPath, [`${root}web/cli.js`, 'quantize', source, out, '--format', 'gptq', ...flags], {
        encoding: 'utf8',
    });

/** The id of a process that has ended. */
const ended = spawnSync(process.execPath, ['--version']).pid;

test('--force replaces a folder that nibble has written, and refuses one with other files', () => {
    const { source, out } = place();
    for (const name of ['configuration_x.py', 'modeling_x.py', 'merges.txt', 'figure.png', 'Notes', 'vocab.bpe'])
        writeFileSync(join(source, name), name);
    const first = quantize(source, out, '--group', '32');
    assert.deepEqual([first.status, first.stderr], [0, '']);
    assert.equal(readFileSync(join(out, 'figure.png'), 'utf8'), 'figure.png');
    writeFileSync(join(source, 'Notes'), 'other notes');
    const again = quantize(source, out, '--group', '64', '--force');
    assert.deepEqual([again.status, again.stderr], [0, '']);
    assert.equal(readFileSync(join(out, 'Notes'), 'utf8'), 'other notes');
    writeFileSync(join(out, 'thesis.tex'), 'years of work');
    const refused = quantize(source, out, '--group', '64', '--force');
    assert.deepEqual([refused.status, existsSync(join(out, 'thesis.tex'))], [2, true]);
    assert.match(
        refused.stderr,
        /made has thesis\.tex in it, which is no file of a model, so --force does not replace/,
    );
});

test('a run that was killed between two names: the next one gives the old folder its name again', () => {
    const { folder, source, out } = place(),
        hidden = join(folder, `.made.${ended}.old`);
    mkdirSync(hidden);
    writeFileSync(join(hidden, 'config.json'), '{}');
    mkdirSync(join(folder, '.made too.1.old')); // belongs to another folder
    const { status, stderr } = quantize(source, out, '--group', '32');
    assert.equal(status, 2);
    assert.match(
        stderr,
        /^nibble: an earlier run ended while it was replacing .*made; the folder .* has its name again\n/,
    );
    assert.match(stderr, /made is there already; --force replaces it/);
    assert.deepEqual(readdirSync(folder), ['.made too.1.old', 'made', 'source']);
    assert.equal(readFileSync(join(out, 'config.json'), 'utf8'), '{}');
});

test('if the name exists, the next run says where the old folder is, and leaves it', () => {
    const { folder, source, out } = place();
    for (const pid of [ended, process.pid]) mkdirSync(join(folder, `.made.${pid}.old`)); // the second process runs
    mkdirSync(out);
    const { status, stderr } = quantize(source, out, '--group', '32', '--force');
    assert.equal(status, 0, stderr);
    const [line, ...others] = stderr.trimEnd().split('\n');
    assert.match(line, new RegExp(`the folder that was there before is .*\\.made\\.${ended}\\.old: remove it if`));
    assert.deepEqual(others, []);
    assert.deepEqual(
        readdirSync(folder).sort(),
        [`.made.${ended}.old`, `.made.${process.pid}.old`, 'made', 'source'].sort(),
    );
});

test('incomplete output of a killed run is reported', () => {
    const { folder, source, out } = place();
    mkdirSync(join(folder, `.made.${ended}.part`));
    writeFileSync(join(folder, `.made.gguf.${ended}.part`), '');
    const left = (/** @type {string} */ name) =>
        new RegExp(
            `^nibble: an earlier run ended before .*${name} was whole, and left .*/\\.${name}\\.${ended}\\.part: remove it\n$`,
        );
    assert.match(quantize(source, out, '--group', '32').stderr, left('made'));
    const gguf = spawnSync(
        process.execPath,
        [`${root}web/cli.js`, 'quantize', source, `${out}.gguf`, '--type', 'q8_0'],
        {
            encoding: 'utf8',
        },
    );
    assert.deepEqual([gguf.status, left('made.gguf').test(gguf.stderr)], [0, true], gguf.stderr);
});

test('a folder that cannot take its name: the old one has it again', async () => {
    const { folder, out } = place();
    mkdirSync(out);
    writeFileSync(join(out, 'config.json'), 'old');
    async function* files() {
        yield { name: 'config.json', stream: (async function* () {})() };
        rmSync(join(folder, `.made.${process.pid}.part`), { recursive: true }); // so that renaming it fails
    }
    await assert.rejects(writeFolder(files(), out, true), /cannot write .*made: there is no such file/);
    assert.equal(readFileSync(join(out, 'config.json'), 'utf8'), 'old');
    assert.deepEqual(readdirSync(folder), ['made', 'source']);
});
