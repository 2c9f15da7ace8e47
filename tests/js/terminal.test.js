// The command line in a terminal: what it shows, how it ends, and that no file can send control characters to it.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { oneLine, plain } from '../../web/visible.js';
import { missing, models, root } from '../support/builds.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-terminal-'));
after(() => rmSync(folder, { recursive: true }));
const cli = `${root}web/cli.js`;

/** @param {string[]} args @param {import('node:child_process').StdioOptions} [stdio] */
const nibble = (args, stdio = ['ignore', 'pipe', 'pipe']) =>
    spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', stdio });

/** The tiny model with the first occurrence of a string replaced. @param {string} from @param {string} to of the same
 * length */
function changed(from, to) {
    const bytes = readFileSync(models.tiny),
        at = bytes.indexOf(from);
    assert.ok(at > 0 && Buffer.byteLength(from) === Buffer.byteLength(to), from);
    bytes.write(to, at);
    const path = join(folder, `changed-${readdirSync(folder).length}.gguf`);
    writeFileSync(path, bytes);
    return path;
}

const UNSEEN = /[\0-\x08\x0b-\x1f\x7f-\x9f]/;

describe('no file and no model writes control characters to the terminal', () => {
    const { name } = JSON.parse(nibble(['inspect', models.tiny, '--json']).stdout);
    const hostile = '\x1b]0;x\x07\r\n\x9b1m\x7f\u202e'.slice(0, 12);
    const evil = Buffer.alloc(Buffer.byteLength(name), 'x');
    evil.write(Buffer.byteLength(hostile) <= evil.length ? hostile : '\x1b[2J\r\n');
    const path = changed(name, evil.toString());

    test('characters that are filtered', () => {
        assert.equal(plain('a\x1b[31mb\r\nc\td\x9b\x7f\0e é😀'), 'a?[31mb\nc\td???e é😀');
        assert.equal(oneLine('a\nb\tc\u2028d\u202ee'), 'a?b?c?d?e');
    });

    for (const args of [
        ['inspect', path],
        ['inspect', path, '--json'],
        ['bench', path, '--prompt-tokens', '4', '--generate-tokens', '2', '--repetitions', '1'],
        ['inspect', changed('llama', '\x1b[2Ja')],
        ['inspect', `${folder}/\x1b[2J.gguf`],
        ['inspect', models.tiny, '--\x1b[2J'],
        ['\x1b[2J'],
    ])
        test(args.join(' ').replaceAll(folder, '').replaceAll('\x1b', 'ESC'), () => {
            const { stdout, stderr } = nibble(args);
            assert.ok(stdout + stderr !== '');
            assert.doesNotMatch(stdout + stderr, UNSEEN);
            assert.ok(stderr.split('\n').length <= 3);
        });

    test('a name cannot fake other lines, and JSON keeps it', () => {
        assert.doesNotMatch(nibble(['inspect', changed(name, 'x\nchat'.padEnd(name.length, 'x'))]).stdout, /^chatx*$/m);
        assert.equal(JSON.parse(nibble(['inspect', path, '--json']).stdout).name, evil.toString());
    });

    test('an answer', async () => {
        const model = await load(models.tiny, { headerOnly: true });
        const [token] = await model.tokenize('\x1b', { bare: true });
        await model.dispose();
        const args = ['run', models.tiny, '--prompt', 'Once', '--max-tokens', '3', '--logit-bias', `${token}=100`];
        assert.equal(nibble(args).stdout, '???\n');
        assert.equal(JSON.parse(nibble([...args, '--json']).stdout).text, '\x1b\x1b\x1b');
    });

    test('everything is written through terminal.js', () => {
        const files = [
            'cli.js',
            ...readdirSync(`${root}web/cli`)
                .filter((file) => file !== 'terminal.js')
                .map((file) => `cli/${file}`),
        ];
        for (const file of files)
            assert.doesNotMatch(
                readFileSync(`${root}web/${file}`, 'utf8'),
                /\b(stdout|stderr|output)\.write|console\./,
                file,
            );
    });
});

describe('one line, and no stack', () => {
    const full = existsSync('/dev/full') ? false : 'this system has no /dev/full';
    for (const args of [
        ['--help'],
        ['--version'],
        ['inspect', models.tiny],
        ['tokenize', models.tiny, '--text', 'a'],
        ['run', models.tiny, '--prompt', 'Once', '--max-tokens', '40'],
    ])
        test(`a full disk: ${args[0]}`, { skip: missing(full) }, () => {
            const { status, stderr } = nibble(args, ['ignore', openSync('/dev/full', 'w'), 'pipe']);
            assert.equal(status, 1);
            assert.match(stderr, /^nibble: cannot write the output: .*ENOSPC[^\n]*\n$/);
        });

    test('a full disk for the error itself', { skip: missing(full) }, () => {
        const { status, stdout } = nibble(['inspect', 'nothing.gguf'], ['ignore', 'pipe', openSync('/dev/full', 'w')]);
        assert.deepEqual([status, stdout], [1, '']);
    });
});

test('--help is help, unless it is the value of a flag', () => {
    assert.match(nibble(['tokenize', '--help']).stdout, /^Usage/);
    assert.match(nibble(['tokenize', models.tiny, '-h']).stdout, /^Usage/);
    assert.ok(Array.isArray(JSON.parse(nibble(['tokenize', models.tiny, '--text', '--help']).stdout)));
    assert.ok(Array.isArray(JSON.parse(nibble(['tokenize', models.tiny, '--text', '-h', '--special']).stdout)));
});

test('Ctrl-C also ends work that cannot be interrupted', async () => {
    const tokens = Array.from({ length: 12000 }, (_, i) => 3 + (i % 1000)).join();
    const child = spawn(process.execPath, [cli, 'embed', models.tiny, '--context', '12000', '--tokens', tokens], {
        stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '',
        err = '';
    child.stdout.on('data', (text) => {
        out += text;
    });
    child.stderr.on('data', (text) => {
        err += text;
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(child.exitCode, null, 'it is still at work');
    const began = performance.now();
    child.kill('SIGINT');
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.deepEqual([code, out, err], [130, '', '']);
    assert.ok(performance.now() - began < 5000);
});

/** @param {[string, string][]} steps @param {string[]} args @returns {{ shown: string, code: number }} */
function atTerminal(steps, args) {
    const { stdout, stderr } = spawnSync(
        'python3',
        [`${root}tests/support/terminal.py`, JSON.stringify(steps), process.execPath, cli, ...args],
        { encoding: 'utf8' },
    );
    assert.equal(stderr, '');
    return JSON.parse(stdout);
}

describe('the chat in the terminal', {
    skip: missing(spawnSync('python3', ['-c', 'import pty']).status !== 0 && 'Python 3 with pty is missing'),
}, () => {
    const LONG = ['run', models.tiny, '--max-tokens', '900', '--ignore-end', '--context', '1000'];

    test('Ctrl-D at the prompt, and during an answer, leaves without an error', () => {
        const idle = atTerminal([['> ', '\x04']], LONG);
        assert.equal(idle.code, 0);
        const { shown, code } = atTerminal(
            [
                ['> ', 'Tell me a story.\r'],
                ['story.\r\n', '\x04'],
            ],
            LONG,
        );
        assert.equal(code, 0);
        assert.doesNotMatch(shown, /readline|ERR_|error/i);
    });

    test('lines that come at once, or during an answer, are answered in turn', () => {
        const { shown, code } = atTerminal(
            [
                ['> ', 'One.\rTwo.\r/help\r'],
                ['/help       this', 'Three.\r'],
                ['> ', '/exit\r'],
            ],
            ['run', models.tiny, '--max-tokens', '5', '--ignore-end'],
        );
        assert.equal(code, 0);
        assert.equal(shown.split('[cut at its length]').length, 4, shown);
    });

    test('a message of two lines; Ctrl-C between them drops it; /undo', () => {
        const { shown, code } = atTerminal(
            [
                ['> ', 'Tell a story\\\r'],
                ['. ', 'of a dog.\r'],
                ['> ', 'dropped\\\r'],
                ['. ', '\x03'],
                ['> ', '/undo\r'],
                ['> ', '/exit\r'],
            ],
            ['run', models.tiny, '--max-tokens', '5', '--ignore-end'],
        );
        assert.equal(code, 0);
        assert.equal(shown.split('[cut at its length]').length, 2, shown);
        assert.match(shown, /The last message and its answer are forgotten/);
    });

    test('Ctrl-C stops an answer, and then leaves', () => {
        const { shown, code } = atTerminal(
            [
                ['> ', 'Tell me a story.\r'],
                ['story.\r\n', '\x03'],
                ['[stopped]', ''],
                ['> ', '\x03'],
            ],
            [...LONG.slice(0, 3), '1900', '--ignore-end', '--context', '2048'],
        );
        assert.equal(code, 0);
        assert.match(shown, /\[stopped\]/);
    });
});
