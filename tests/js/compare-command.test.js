// `nibble compare`: its table, its JSON, and the page that it writes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { models, root } from '../support/builds.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(folder, { recursive: true }));
const { text } = JSON.parse(readFileSync(`${root}tests/fixtures/llamacpp/prompts.json`, 'utf8')).logits;
const file = join(folder, 'text.txt'),
    /** A name that could be taken for a tag, and for a script. */
    evil = join(folder, "<b>&'</script><script>alert(1)</script>.gguf".replaceAll('/', '\u2215'));
writeFileSync(file, text);
copyFileSync(models.tiny, evil);

/** @param {string[]} args */
const nibble = (...args) =>
    spawnSync(process.execPath, [`${root}web/cli.js`, 'compare', ...args, '--threads', '1'], { encoding: 'utf8' });
const given = ['--file', file, '--context', '64', '--no-speed'];

test('the table has a line for each model; --json has all', () => {
    const { status, stdout, stderr } = nibble(models.tiny, evil, ...given);
    assert.deepEqual([status, stderr], [0, '']);
    const [head, base, other, tokens] = stdout.split('\n');
    assert.match(head, /^model +MB +bits +perplexity +KL mean +KL 99 % +KL max +same top +weights +memory$/);
    assert.match(base, /tiny\.gguf +\d/);
    assert.match(other, /\.gguf .* 0\.0000 ± 0\.0000 +0 +0 +100\.00 % +0\.00 % +\d/);
    assert.match(tokens, /^\d+ tokens compared, in \d+ windows of 64; KL divergence in nats$/);
    const json = nibble(models.tiny, evil, ...given, '--no-weights', '--json');
    const result = JSON.parse(json.stdout);
    assert.deepEqual([result.base.name, result.models[0].name], [models.tiny, evil]);
    assert.deepEqual([result.models[0].divergence.mean, 'weights' in result.models[0]], [0, false]);
});

test('the page is one file, whose names are text and whose scripts its policy allows', () => {
    const html = join(folder, 'page.html');
    const { status, stderr } = nibble(models.tiny, evil, ...given, '--html', html);
    assert.deepEqual([status, stderr], [0, '']);
    const page = readFileSync(html, 'utf8');
    assert.doesNotMatch(page, /<b>&'|alert\(1\)<.script>/);
    assert.equal(page.match(/<script/g)?.length, 2);
    const text = page.replace(/<(script|style)[^>]*>[\s\S]*?<\/\1>/g, '');
    assert.doesNotMatch(text, /\b(src|href|style|on\w+)=/, 'nothing comes from elsewhere');
    for (const [, kind, source] of page.matchAll(/<(script|style)>([\s\S]*?)<\/\1>/g)) {
        const hash = createHash('sha256').update(source).digest('base64');
        assert.ok(page.includes(`${kind}-src 'sha256-${hash}'`), `the policy has no hash of the ${kind}`);
    }
    const [, data] = /<script type="application\/json" id="data">(.*)<\/script>/.exec(page) ?? [];
    assert.equal(JSON.parse(data).models[0].name, evil);
    const again = nibble(models.tiny, evil, ...given, '--html', html);
    assert.equal(again.status, 2);
    assert.match(again.stderr, /page\.html is there already; --force writes over it/);
    assert.deepEqual(
        readdirSync(folder).filter((name) => name.endsWith('.part')),
        [],
    );
});

test('if the page cannot be written, the figures are still printed', () => {
    const html = join(folder, 'large.html');
    const args = [`${root}web/cli.js`, 'compare', models.tiny, evil, ...given, '--no-weights', '--html', html];
    // a limit on the size of files (8 blocks of 1024 bytes) acts as a full disk
    const script = 'ulimit -f 8; exec "$@"';
    const { status, stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', process.execPath, ...args], {
        encoding: 'utf8',
    });
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^nibble: cannot write .*large\.html: the file would be larger than is allowed\n$/);
    assert.match(stdout, /0\.0000 ± 0\.0000[\s\S]*tokens compared/);
    assert.deepEqual(
        readdirSync(folder).filter((name) => name.includes('large')),
        [],
    );
});

test('errors are reported before anything is computed', () => {
    const same = join(folder, 'same.gguf');
    const short = join(folder, 'short.txt');
    symlinkSync(models.tiny, same);
    writeFileSync(short, text.slice(0, 500));
    const cases = /** @type {[string[], number, RegExp][]} */ ([
        [[models.tiny, ...given], 2, /which models to compare with it\?/],
        [[models.tiny, evil], 2, /--file TEXT is missing/],
        [[models.tiny, same, ...given], 2, /same\.gguf is given twice/],
        [[models.tiny, evil, ...given, '--html', join(folder, 'page.txt')], 2, /must end with \.html or \.htm/],
        [[models.tiny, join(folder, 'none.gguf'), ...given], 1, /none\.gguf: there is no such file/],
        [[models.tiny, evil, '--file', join(folder, 'none.txt')], 1, /--file: cannot read .*none\.txt/],
        [[models.tiny, evil, ...given, '--stride', '65'], 2, /a stride .* of 65 would leave out tokens/],
        [[models.tiny, evil, '--file', short], 2, /less than one window of 512/],
    ]);
    for (const [args, code, message] of cases) {
        const { status, stderr } = nibble(...args);
        assert.deepEqual([status, message.test(stderr)], [code, true], stderr);
    }
});
