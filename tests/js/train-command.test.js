// nibble train: what it writes and prints, that nothing is lost after an interrupt, and what it does on a full disk.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { inTime } from '../../web/cli/open-model.js';
import { load, train } from '../../web/index.js';
import { root } from '../support/builds.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-train-')),
    text = join(folder, 'text.txt'),
    tokenizer = `${root}tests/fixtures/safetensors/llama-f32`,
    at = (/** @type {string} */ name) => join(folder, name);
writeFileSync(text, readFileSync(`${root}LICENSE`));
after(() => rmSync(folder, { recursive: true }));

const CONFIG = {
    ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 2 },
    ...{ tie_word_embeddings: true, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
};

/** @param {string[]} args */
const withCommand = (args) => [`${root}web/cli.js`, 'train', ...args];

/** @param {string[]} args */
function nibble(...args) {
    const { status, stdout, stderr } = spawnSync(process.execPath, withCommand(args), { encoding: 'utf8' });
    return { status, stdout, stderr };
}

/** The plot of the losses in a page. @param {string} page */
const plotOf = (page) => /<svg.*<\/svg>/s.exec(readFileSync(at(page), 'utf8'))?.[0];

/** @param {string} out @param {string[]} args */
const anew = (out, ...args) => [
    ...['--config', JSON.stringify(CONFIG), '--tokenizer', tokenizer, '--data', text, '-o', at(out)],
    ...['--length', '32', '--rate', '0.01', '--seed', '5', ...args],
];

test('a new model: the GGUF, the page, the lines, and JSON', async () => {
    const held = ['--validation', '0.1', '--validate-every', '10'],
        args = anew('new.gguf', '--steps', '40', ...held, '--html', at('new.html'), '--json');
    const { status, stdout, stderr } = nibble(...args);
    assert.equal(status, 0, stderr);
    const told = JSON.parse(stdout);
    assert.deepEqual(
        [told.out, told.steps, told.batch, told.length, told.part, told.firstStep],
        [at('new.gguf'), 40, 8, 32, 8, 0],
    );
    assert.ok(told.validationLoss < 4 && told.loss < 4, stdout);
    const lines = stderr.trim().split('\n');
    assert.match(lines[0], /^nibble: step 2 of 40, loss [\d.]+, [\d,]+ tokens\/s, \d+ s left$/);
    assert.match(
        lines.at(-1) ?? '',
        /^nibble: step 40 of 40, loss [\d.]+, of the held-out text [\d.]+, [\d,]+ tokens\/s$/,
    );
    const page = readFileSync(at('new.html'), 'utf8');
    assert.match(page, /<polyline class="mean" points="[\d.]+,[\d.]+ /);
    assert.equal(page.match(/<circle /g)?.length, 4);
    assert.doesNotMatch(page, /NaN|Infinity|undefined/);
    const model = await load(at('new.gguf'));
    assert.deepEqual([model.info.layers, model.info.vocabulary, model.info.context], [1, 263, 64]);
    assert.ok((await model.complete('The ', { maxTokens: 4 })).tokens.length > 0);
    await model.dispose();
    // train it further, with two texts; and a tokenizer that is a single file
    const data = ['--data', text],
        init = nibble('--init', at('new.gguf'), ...data, ...data, '-o', at('on.gguf'), '--steps', '2'),
        file = anew('file.gguf', '--steps', '1'),
        other = nibble(...file.map((word) => (word === tokenizer ? `${tokenizer}/tokenizer.json` : word)));
    assert.deepEqual([init.status, other.status], [0, 0], init.stderr + other.stderr);
    assert.match(init.stdout, /on\.gguf: 17,728 parameters, 2 steps, loss [\d.]+, [\d.]+ s\n$/);
});

for (const [signal, code] of /** @type {[NodeJS.Signals, number][]} */ ([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
]))
    test(`${signal} loses nothing: a run that is resumed writes the same bytes`, async () => {
        const name = signal.toLowerCase(),
            straight = at('straight.gguf'),
            kept = ['--checkpoint', at(`${name}.ckpt`), '--html', at(`${name}.html`)];
        const steps = ['--steps', '150', '--every', '1000', '--validation', '0.1', '--validate-every', '10'];
        if (!readdirSync(folder).includes('straight.gguf'))
            assert.equal(nibble(...anew('straight.gguf', ...steps, '--html', at('straight.html'))).status, 0);
        const child = spawn(process.execPath, withCommand(anew(`${name}.gguf`, ...steps, ...kept)), {
            stdio: ['ignore', 'ignore', 'pipe'],
        });
        let said = '';
        child.stderr.setEncoding('utf8').on('data', (some) => {
            said += some;
        });
        child.stderr.once('data', async () => {
            child.kill(signal); // at its first line, after some steps
            await setTimeout(1);
            if (signal === 'SIGHUP') child.kill(signal); // the system sends it, and then the shell again
        });
        assert.equal((await once(child, 'close'))[0], code, said);
        const [, step] = /interrupted after step (\d+) of 150; --resume goes on from step \1\n$/.exec(said) ?? [];
        assert.ok(Number(step) >= 8 && Number(step) < 150, said);
        assert.ok(!readdirSync(folder).includes(`${name}.gguf`), 'nothing is written that is not done');
        // the page of the first run is replaced
        const { status, stdout, stderr } = nibble(...anew(`${name}.gguf`, ...steps, ...kept, '--resume', '--json'));
        assert.equal(status, 0, stderr);
        const told = JSON.parse(stdout);
        assert.equal(told.firstStep, Number(step));
        assert.ok(readFileSync(at(`${name}.gguf`)).equals(readFileSync(straight)));
        assert.equal(plotOf(`${name}.html`), plotOf('straight.html'), 'the page has the steps before the break, too');
        // all steps are done already: the model is written, and the last losses are printed again
        const done = nibble(...anew(`${name}.gguf`, ...steps, ...kept, '--resume', '--force', '--json')),
            { loss, validationLoss, tokensPerSecond } = JSON.parse(done.stdout);
        assert.deepEqual([loss, validationLoss, tokensPerSecond], [told.loss, told.validationLoss, null]);
        assert.ok(loss > 0 && validationLoss > 0, done.stdout);
        const anewAgain = nibble(...anew(`${name}-2.gguf`, ...steps, '--html', at(`${name}.html`)));
        assert.match(anewAgain.stderr, /\.html is there already; --force writes over it/);
    });

test('outputs that would replace each other, or a file that is no checkpoint, are refused at once', () => {
    const same = nibble(...anew('same.gguf', '--steps', '1', '--checkpoint', `${folder}/./same.gguf`));
    assert.deepEqual(
        [same.status, same.stderr.split('\n')[0]],
        [2, 'nibble: --output and --checkpoint are the same file: give one of them another name'],
    );
    const init = [...['--init', `${root}tests/fixtures/models/type-f16.gguf`, '--data', text, '-o', at('other.gguf')]],
        none = nibble(...init, '--checkpoint', text, '--resume');
    assert.equal(none.status, 2, none.stderr); // this file is also the text
    const bits = nibble(...anew('bits.gguf', '--optimizer-bits', '16', '--data', at('absent.txt')));
    assert.equal(bits.stderr.split('\n')[0], 'nibble: optimizerBits (--optimizer-bits) must be 8 or 32, not 16');
    writeFileSync(at('no.ckpt'), 'This is no checkpoint.');
    const wrong = nibble(...init, '--checkpoint', at('no.ckpt'), '--resume');
    assert.equal(wrong.stderr, 'nibble: the checkpoint is not one of a training by nibble\n');
});

test('times are printed in seconds, minutes and seconds, or hours', () => {
    assert.deepEqual([0.2, 59.5, 119.5, 3599.5, 5400].map(inTime), ['1 s', '1 min 0 s', '2 min 0 s', '1.0 h', '1.5 h']);
});

for (const signal of ['SIGTERM', 'SIGHUP'])
    test(`${signal} does not interrupt the last writing of the command`, () => {
        const script = `
        import { setTimeout } from 'node:timers/promises';
        import { writeWhole } from '${root}web/cli/files.js';
        process.on('${signal}', () => {});
        const pieces = async function* () {
            yield new Uint8Array(3);
            process.kill(process.pid, '${signal}');
            await setTimeout(100);
            yield new Uint8Array(2);
        };
        await writeWhole(pieces(), '${at('outlasts.bin')}', false, process.argv[1] === 'outlasts');`;
        const run = (/** @type {string} */ how) =>
            spawnSync(process.execPath, ['--input-type=module', '-e', script, how], { encoding: 'utf8' });
        assert.equal(run('ends').status, signal === 'SIGTERM' ? 143 : 129);
        assert.ok(!readdirSync(folder).some((name) => name.includes('outlasts')));
        const { status, stderr } = run('outlasts');
        assert.equal(status, 0, stderr);
        assert.equal(readFileSync(at('outlasts.bin')).length, 5);
        rmSync(at('outlasts.bin'));
    });

test('a full disk: the training goes on without the checkpoint, and the one before stays', async () => {
    const names = ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'],
        source = { config: CONFIG, tokenizer: names.map((name) => `${tokenizer}/${name}`) },
        options = { data: readFileSync(text, 'utf8'), length: 32, rate: 0.01, seed: 5, steps: 12 };
    const training = await train(source, options);
    for await (const { step } of training) if (step === 3) break;
    const before = await training.checkpoint();
    await training.dispose();
    writeFileSync(at('full.ckpt'), before);
    const run = (/** @type {number} */ blocks, /** @type {string} */ out, /** @type {string[]} */ ...more) => {
        const kept = ['--steps', '12', '--checkpoint', at('full.ckpt'), '--every', '5', '--resume', ...more],
            script = `ulimit -f ${blocks}; exec "$@"`; // a limit on the size of files, in KB, acts as a full disk
        return spawnSync('bash', ['-c', script, 'bash', process.execPath, ...withCommand(anew(out, ...kept))], {
            encoding: 'utf8',
        });
    };
    // enough for the model of 80 KB, but not for a checkpoint of 215 KB
    const some = run(128, 'full.gguf');
    assert.equal(some.status, 0, some.stderr);
    const told = /cannot write .*full\.ckpt: the file would be larger than is allowed(; the training goes on)?\n/g;
    assert.deepEqual(
        Array.from(some.stderr.matchAll(told), ([, more]) => more !== undefined),
        [true, true, false],
        some.stderr,
    );
    assert.ok(readFileSync(at('full.ckpt')).equals(before), 'the checkpoint is what it was');
    const none = run(4, 'none.gguf', '--html', at('none.html'));
    assert.equal(none.status, 1, none.stderr);
    assert.match(none.stderr, /nibble: cannot write .*none\.html: the file would be larger than is allowed\n/);
    assert.match(
        none.stderr,
        /nibble: cannot write .*none\.gguf: the file would .* \(the last good checkpoint .*full\.ckpt, of step 3\)\n$/,
    );
    assert.deepEqual(
        readdirSync(folder).filter((name) => /none|\.part$/.test(name)),
        [],
    );
});

test('a loss that is not finite: the error names the step, and the last good checkpoint stays', async () => {
    const args = anew('bad.gguf', '--steps', '20', '--warmup', '10', '--clip', '0', '--every', '1');
    args[args.indexOf('--rate') + 1] = '1e6';
    const { status, stderr } = nibble(...args, '--checkpoint', at('bad.ckpt'));
    assert.equal(status, 1, stderr);
    const told = /^nibble: the loss is not finite after (\d+) steps: .* \(the last good .*bad\.ckpt, of step (\d+)\)$/m,
        [, steps, good] = told.exec(stderr) ?? [];
    assert.equal(Number(good), Number(steps) - 1, stderr);
    const again = nibble(...args, '--checkpoint', at('bad.ckpt'), '--resume');
    assert.match(again.stderr, new RegExp(`not finite after ${steps} steps`));
    const other = nibble(...anew('bad.gguf', '--steps', '20', '--checkpoint', at('bad.ckpt'), '--resume'));
    assert.equal(other.status, 2, other.stderr);
    assert.match(other.stderr, /the checkpoint is of a training whose rate was 1000000, and now it is 0\.01/);
    writeFileSync(at('bad.ckpt'), readFileSync(at('bad.ckpt')).subarray(0, 5000));
    const damaged = nibble(...args, '--checkpoint', at('bad.ckpt'), '--resume');
    assert.match(damaged.stderr, /the checkpoint is damaged/);
    assert.equal(damaged.status, 1);
});
