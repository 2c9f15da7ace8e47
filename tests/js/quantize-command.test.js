// nibble quantize: what it writes, what it refuses, and that nothing is left behind after a failure.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { quantizingPhases, tenths } from '../../web/cli/open-model.js';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { whole } from '../support/gguf.js';

const model = `${root}tests/fixtures/models/head-size.gguf`;
const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

let folders = 0;
/** A folder for one test. */
function ownFolder() {
    const path = join(temporary, String(folders++));
    mkdirSync(path);
    return path;
}

/** @param {string[]} args of the command */
function quantize(...args) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}web/cli.js`, 'quantize', ...args], {
        encoding: 'utf8',
    });
    return { code: status, out: stdout, err: stderr };
}

test('a file is written and reported, and loads', async () => {
    const folder = ownFolder(),
        out = join(folder, 'small.gguf');
    const {
        code,
        out: told,
        err,
    } = quantize(model, out, '--type', 'Q8_0', '--tensor', 'ffn_down=F16', '--tensor', 'ffn=Q4_0');
    assert.deepEqual([code, err], [0, '']);
    assert.match(told, /small\.gguf: q8_0, [\d,]+ bytes, [\d,]+ parameters, [\d.]+ bits per weight/);
    assert.deepEqual(readdirSync(folder), ['small.gguf']);
    const made = await load(out, { headerOnly: true }),
        { info } = made;
    const type = (/** @type {string} */ name) => info.tensors.find((tensor) => tensor.name === name)?.type;
    assert.deepEqual(
        ['attn_q', 'ffn_down', 'ffn_up', 'attn_norm'].map((name) => type(`blk.0.${name}.weight`)),
        ['Q8_0', 'F16', 'Q4_0', 'F32'],
    );
    await made.dispose();
});

test('a model that is quantized while it is loaded takes an importance matrix, too', () => {
    const folder = ownFolder(),
        fixtures = `${root}tests/fixtures/`,
        [mixtral, importance] = [`${fixtures}models/mixtral.gguf`, `${fixtures}imatrix/mixtral.gguf`],
        out = join(folder, 'small.gguf');
    assert.equal(quantize(mixtral, out, '--type', 'q4_0', '--imatrix', importance).code, 0);
    const logits = (/** @type {string} */ name, /** @type {string[]} */ ...args) => {
        const file = join(folder, name);
        execFileSync(process.execPath, [`${root}web/cli.js`, 'eval', ...args, '--tokens', '1,2,3', '--logits', file]);
        return readFileSync(file);
    };
    const wanted = logits('wanted', out),
        loading = [mixtral, '--quantize', 'q4_0'];
    assert.ok(logits('with', ...loading, '--imatrix', importance).equals(wanted));
    assert.ok(!logits('without', ...loading).equals(wanted), 'the matrix changes nothing');
});

test('--json prints one object; types that do not fit are reported', () => {
    const folder = ownFolder(),
        source = `${root}tests/fixtures/quantize/plain`;
    const { code, out, err } = quantize(source, join(folder, 'a.gguf'), '--type', 'q4_k_m', '--json');
    assert.deepEqual([code, err], [0, '']);
    const told = JSON.parse(out);
    assert.equal(told.type, 'q4_k_m');
    assert.equal(told.bytes, readFileSync(join(folder, 'a.gguf')).length);
    assert.ok(told.bitsPerWeight > 4 && told.bitsPerWeight < 16);
    assert.ok(
        told.fallbacks.some((/** @type {any} */ { wanted, type }) => wanted === 'q4_k' && type === 'q5_0'),
        out,
    );
    const { err: said } = quantize(source, join(folder, 'b.gguf'), '--type', 'q4_k_m');
    assert.equal(told.onlyNibble, null);
    assert.doesNotMatch(said, /llama\.cpp/);
    const inspected = spawnSync(process.execPath, [`${root}web/cli.js`, 'inspect', join(folder, 'b.gguf')], {
        encoding: 'utf8',
    });
    assert.match(inspected.stdout, /format +GGUF 3\n/);
    assert.match(
        quantize(`${root}tests/fixtures/safetensors/opt`, join(folder, 'c.gguf'), '--type', 'q8_0').err,
        /nibble: llama\.cpp does not read this file as nibble does: llama\.cpp has no OPT models\n/,
    );
    assert.match(quantize(source, join(folder, 'd.gguf'), '--type', 'nf4').err, /it has no type NF4\n/);
    assert.match(said, /blk\.0\.\S+ and 4 more become q5_0, as rows are no whole blocks of q4_k\n/);
});

test('without a terminal, long work prints a line for each tenth', () => {
    let time = 0;
    /** @type {string[]} */
    const lines = [];
    const tell = tenths(
            quantizingPhases(),
            (line) => lines.push(line),
            () => time,
        ),
        told = () => lines.splice(0).map((line) => line.replace(/,.*/, ''));
    const shares = Array.from({ length: 21 }, (_, i) => i / 20);
    for (const share of shares) {
        tell({ loaded: share * 1e8, total: 1e8, rate: 2.5e6, secondsLeft: 40 * (1 - share) });
        time += 2000;
    }
    const tenth = (/** @type {string} */ doing) => ['15', '30', '45', '60', '75', '90'].map((n) => `${doing} ${n} %`);
    assert.deepEqual(told(), tenth('Quantizing'));
    // each phase has a name, and begins at 0 again
    const none = { loaded: 0, total: 0, rate: 0, secondsLeft: null },
        step = /** @type {const} */ ({ layer: 0, layers: 2, stage: 'observe', tensor: 'blk.0' });
    for (const [doing, phase] of /** @type {[string, (share: number) => object][]} */ ([
        ['Measuring', (share) => ({ measuring: { tensor: 'blk.0.attn_q.weight', share } })],
        ['Quantizing', (share) => ({ calibration: { ...step, share } })],
        ['Writing', (share) => ({ loaded: share * 1e8, total: 1e8 })],
    ])) {
        for (const share of shares) {
            tell({ ...none, ...phase(share) });
            time += 2000;
        }
        const lines = told();
        assert.ok(lines.length > 4 && lines.every((line) => line.startsWith(doing)), lines.join());
    }
});

test('wrong usage: exit code 2, and one line that says what to do', () => {
    const folder = ownFolder(),
        there = join(folder, 'there.gguf'),
        out = join(folder, 'out.gguf');
    writeFileSync(there, 'something');
    for (const [args, said] of /** @type {[string[], RegExp][]} */ ([
        [[model, '--type', 'q8_0'], /where to\? Give the GGUF or the folder to write after the model/],
        [[model, out], /which type\? Pass type \(--type\), one of .*; or a budget: bits \(--bits\)/],
        [[model, out, '--type', 'q4'], /--type must be one of nf4, .*, q4_k_m, .*not "q4"/],
        [[model, out, 'more', '--type', 'q8_0'], /one model and the GGUF or the folder to write, not .*"more"/],
        [[model, there, '--type', 'q8_0'], /there\.gguf is there already; --force writes over it/],
        [[there, there, '--type', 'q8_0', '--force'], /there\.gguf is what is read, or part of it; give another name/],
        [[model, join(folder, 'out.bin'), '--type', 'q8_0'], /out\.bin must end with \.gguf/],
        [
            [model, join(folder, 'none', 'out.gguf'), '--type', 'q8_0'],
            /there is no folder .*none to write out\.gguf to/,
        ],
        [[model, join(there, 'out.gguf'), '--type', 'q8_0'], /there is no folder .*there\.gguf to write/],
        [
            [model, out, '--type', 'q8_0', '--tensor', 'ffn_down'],
            /--tensor must be a pattern and a type, such as ffn_down=q6_k/,
        ],
        [
            [model, out, '--type', 'q8_0', '--tensor', 'a=q4_k_m'],
            /"a" gets the type "q4_k_m", but it must be one of f32/,
        ],
        [[model, out, '--type', 'q8_0', '--tensor', '(=q4_0'], /"\(" is no regular expression/],
        [[model, out, '--type', 'q8_0', '--output-type', 'q4_k_m'], /--output-type must be one of f32, /],
        [[model, out, '--type', 'q8_0', '--double-quant'], /needs type \(--type\) nf4 or fp4/],
        [[`${root}tests/fixtures/models/type-q4_0.gguf`, out, '--type', 'q8_0'], /quantized already.*requantize/],
        [
            [model, out, '--type', 'q8_0', '--tensor', 'ffn_dwn=q4_0'],
            /--tensor\): "ffn_dwn" is found in the name of no matrix .* blk\.0\..*nibble inspect MODEL --json/,
        ],
        [
            [model, out, '--type', 'q8_0', '--tensor', 'ffn_norm=q4_0'],
            /"ffn_norm" is found in names of tensors that keep their type, but in the name of no matrix/,
        ],
        [
            [model, out, '--type', 'q8_0', '--tensor', 'ffn=q4_0', '--tensor', 'ffn_down=f16'],
            /--tensor\): "ffn_down" changes nothing, as options that come before it give other types/,
        ],
        [
            [model, out, '--type', 'q8_0', '--token-embedding-type', 'f16', '--tensor', 'token_embd=q4_0'],
            /--tensor\): "token_embd" changes nothing/,
        ],
        [
            // the embedding is the output, too
            [model, out, '--type', 'q8_0', '--output-type', 'f16', '--token-embedding-type', 'q4_0'],
            /outputType \(--output-type\) changes nothing/,
        ],
        [[model, out, '--type', 'q8_0', '--search', 'best'], /search \(--search\) best changes nothing for q8_0/],
        [
            [model, out, '--type', 'int8', '--search', 'best', '--outliers', '6', '--calibration', model],
            /search \(--search\) best changes nothing for int8/,
        ],
        [[model, out, '--type', 'nf4', '--imatrix', model], /imatrix \(--imatrix\) changes nothing for nf4/],
        [[model, out, '--type', 'q8_0', '--imatrix', model], /^nibble: imatrix \(--imatrix\): .*importance matrix/],
    ])) {
        const { code, out: printed, err } = quantize(...args);
        assert.deepEqual([code, printed], [2, ''], err);
        assert.match(err, said);
        assert.match(err, /\nTry: nibble quantize --help\n$/);
    }
    assert.equal(readFileSync(there, 'utf8'), 'something');
    assert.deepEqual(readdirSync(folder), ['there.gguf']);
    assert.equal(quantize(model, there, '--type', 'nf4', '--double-quant', '--force').code, 0);
    assert.equal(readFileSync(there, 'latin1').slice(0, 4), 'GGUF');
});

test('a failure leaves nothing: exit code 1, and one line', () => {
    const folder = ownFolder(),
        out = join(folder, 'out.gguf'),
        broken = join(temporary, 'broken.gguf'),
        importance = join(temporary, 'importance.gguf');
    writeFileSync(importance, whole(new Map([['general.type', ['string', 'imatrix']]]), []));
    writeFileSync(broken, readFileSync(model).subarray(0, 60000));
    for (const [args, said] of /** @type {[string[], RegExp][]} */ ([
        [[join(folder, 'none.gguf'), out, '--type', 'q8_0'], /none\.gguf: there is no such file/],
        [[broken, out, '--type', 'q8_0'], /broken\.gguf: .*(ends|past)/],
        [
            [model, out, '--type', 'q8_0', '--imatrix', join(folder, 'none.dat')],
            /--imatrix: cannot read .*none\.dat: there is no such file/,
        ],
        [[importance, out, '--type', 'q8_0'], /importance\.gguf: the file is an importance matrix, not a model/],
        [[`${root}README.md`, out, '--type', 'q8_0'], /README\.md: /],
    ])) {
        const { code, out: printed, err } = quantize(...args);
        assert.deepEqual([code, printed], [1, ''], err);
        assert.match(err, said);
        assert.equal(err.split('\n').length, 2, err);
    }
    assert.deepEqual(readdirSync(folder), []);
});

test('a full disk is reported, and nothing is left', () => {
    const folder = ownFolder(),
        out = join(folder, 'out.gguf');
    // a limit on the size of files (8 blocks of 1024 bytes) acts as a full disk
    const { status, stderr } = spawnSync(
        'bash',
        [
            '-c',
            'ulimit -f 8; exec "$@"',
            'bash',
            process.execPath,
            `${root}web/cli.js`,
            'quantize',
            model,
            out,
            '--type',
            'q8_0',
        ],
        { encoding: 'utf8' },
    );
    assert.deepEqual([status, readdirSync(folder)], [1, []], stderr);
    assert.match(stderr, /^nibble: cannot write .*out\.gguf: the file would be larger than is allowed\n$/);
});

for (const [signal, code] of /** @type {[NodeJS.Signals, number][]} */ ([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
]))
    test(`${signal} ends it and leaves nothing`, async (t) => {
        const folder = ownFolder(),
            out = join(folder, 'out.gguf'),
            pipe = join(temporary, `${signal}.gguf`);
        // a pipe that stalls within the weights. It has a name, because Node's pipes are sockets, which cannot be
        // opened.
        execFileSync('mkfifo', [pipe]);
        const script = '{ head -c -1000 "$0"; exec sleep 60; } > "$1"';
        const writer = spawn('sh', ['-c', script, model, pipe], { stdio: 'ignore' });
        t.after(() => writer.kill());
        const child = spawn(process.execPath, [`${root}web/cli.js`, 'quantize', pipe, out, '--type', 'q8_0'], {
            stdio: 'ignore',
        });
        const ended = once(child, 'exit');
        for (let i = 0; readdirSync(folder).length === 0; i++) {
            assert.ok(i < 200 && child.exitCode === null, 'no file appears');
            await wait(50);
        }
        assert.match(readdirSync(folder)[0], /^\.out\.gguf\.\d+\.part$/);
        child.kill(signal);
        assert.equal((await ended)[0], code);
        assert.deepEqual(readdirSync(folder), []);
    });
