// Runs once: it compares figures that no build changes.
// compareEmbeddings(), and `nibble compare` of encoders: the figures are scipy's (tests/oracles/similarity_vectors.py),
// of the vectors that embed() gives, for passages of a text.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { passagesOf } from '../../web/api/passages.js';
import { VectorComparison } from '../../web/api/similarity.js';
import { compareEmbeddings, load, quantize } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { cosine } from '../support/vectors.js';

const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(temporary, { recursive: true }));

const encoders = `${root}tests/fixtures/encoders/`,
    source = `${encoders}calibrated`,
    nomic = `${encoders}nomic-bert.gguf`;
const SAMPLE = readFileSync(`${root}demo/sample.txt`, 'utf8');
/** Short passages of few tokens, and a long one. */
const TEXT = passagesOf(SAMPLE)
    .map((passage, i) => (i === 7 ? passage : passage.slice(0, 60)))
    .join('\n\n');
const quick = /** @type {const} */ ({ text: TEXT, speed: false, weights: false, threads: 1, build: 'simd128' });

/** @param {string} from @param {import('../../web/index.js').Preset} type */
const made = async (from, type) =>
    new Uint8Array(
        await new Response(/** @type {any} */ (quantize(from, { type, requantize: true, threads: 1 }))).arrayBuffer(),
    );

test("distances and rank correlations are scipy's, with equal ranks, too", () => {
    /** @type {Record<string, { base: number[][], other: number[][], byPassage: number[], mean: number,
     *     standardError: number, largest: number, rankCorrelation: number }>} */
    const cases = JSON.parse(readFileSync(`${encoders}similarity.json`, 'utf8'));
    assert.deepEqual(Object.keys(cases), ['near', 'far', 'ties']);
    for (const [name, { base, other, byPassage, mean, standardError, largest, rankCorrelation }] of Object.entries(
        cases,
    )) {
        const found = new VectorComparison(base).figures(other);
        for (const [is, should] of [
            [found.distance.mean, mean],
            [found.distance.standardError, standardError],
            [found.distance.largest, largest],
            [found.rankCorrelation ?? NaN, rankCorrelation],
            ...byPassage.map((should, i) => [found.distance.byPassage[i], should]),
        ])
            assert.ok(Math.abs(is - should) < 1e-12, `${name}: ${is}, not ${should}`);
    }
});

test('small distances keep their digits; where all pairs are alike, there is no correlation', () => {
    // two vectors at an angle of 1e-7: 1 - cos is 5e-15, of which 1 - 0.999... has one digit in double precision
    const angle = 1e-7,
        found = new VectorComparison([
            [1, 0],
            [0, 1],
            [1, 1],
        ]).figures([
            [Math.cos(angle), Math.sin(angle)],
            [0, 3],
            [2, 2],
        ]);
    assert.ok(Math.abs(found.distance.byPassage[0] / 5e-15 - 1) < 1e-6, String(found.distance.byPassage[0]));
    assert.deepEqual(found.distance.byPassage.slice(1), [0, 0]);
    const alike = new VectorComparison([
        [1, 0],
        [1, 0],
        [1, 0],
    ]).figures([
        [1, 0],
        [0, 1],
        [1, 1],
    ]);
    assert.equal(alike.rankCorrelation, null);
});

test('passages are paragraphs; where these are few, lines or sentences; headings and repetitions are left out', () => {
    const numbers = Array.from({ length: 20 }, (_, i) => `This is number ${i}, and it is long enough to count.`);
    for (const [text, expected] of /** @type {[string, string[]][]} */ ([
        [numbers.join('\n\n'), numbers],
        [`A heading\r\n\r\n${numbers.join('\r\n \r\n')}\r\n\r\n${numbers[3]}\r\n`, numbers],
        [`Two lines\n${numbers.join('\n\nTwo lines\n')}`, numbers.map((line) => `Two lines\n${line}`)],
        [numbers.join('\n'), numbers],
        [numbers.join(' '), numbers],
        [`${numbers[0]}\n\n${numbers[1]}`, numbers.slice(0, 2)],
        ['Nothing here', []],
    ]))
        assert.deepEqual(passagesOf(text), expected);
});

test('the figures are those of the vectors; there are sizes, speed and errors of weights', async () => {
    const q8 = await made(nomic, 'q8_0'),
        q4 = await made(nomic, 'q4_0');
    /** @type {import('../../web/index.js').CompareProgress[]} */
    const reports = [];
    const { base, models, passages, tokens } = await compareEmbeddings(
        [nomic, { source: q8, name: 'q8' }, { source: q4, name: 'q4' }],
        { ...quick, weights: true, speed: true, onProgress: (progress) => reports.push(progress) },
    );
    const [first, second] = models,
        most = 128; // the model's own context
    assert.deepEqual([base.name, first.name, second.name, passages], [nomic, 'q8', 'q4', 20]);
    assert.ok(tokens > 12 * passages && tokens <= most * passages, `${tokens} tokens of ${passages} passages`);
    /** The vectors of the beginnings of the passages, as long as fits. @param {string | Uint8Array} from */
    const vectorsOf = async (from) => {
        const model = await load(from, { threads: 1, build: 'simd128' }),
            found = [];
        for (const passage of passagesOf(TEXT)) {
            const all = await model.tokenize(passage);
            found.push(all.length <= most ? await model.embed(passage) : null);
        }
        await model.dispose();
        return found;
    };
    const [exact, rounded] = [await vectorsOf(nomic), await vectorsOf(q4)];
    let compared = 0;
    for (const [i, vector] of exact.entries()) {
        const other = rounded[i];
        if (!vector || !other) continue;
        compared++;
        const [is, should] = [second.distance.byPassage[i], 1 - cosine(vector, other)];
        assert.ok(Math.abs(is - should) < 1e-9, `passage ${i}: ${is}, not ${should}`);
    }
    assert.ok(compared >= 15 && compared < 20, `${compared} passages fit into the context`);
    assert.ok(first.distance.mean < 0.1 * second.distance.mean);
    assert.ok(Number(second.rankCorrelation) < Number(first.rankCorrelation) && Number(first.rankCorrelation) < 1);
    assert.deepEqual([first.bytes, second.bytes], [q8.length, q4.length]);
    for (const { tokensPerSecond, memoryBytes } of [base, ...models])
        assert.ok(Number(tokensPerSecond) > 0 && memoryBytes > 0);
    assert.ok(Number(first.weights?.error) > 0 && Number(first.weights?.error) < Number(second.weights?.error));
    assert.deepEqual([...new Set(reports.map(({ model }) => model))], [nomic, 'q8', 'q4']);
    const last = reports.findLast(({ doing }) => doing === 'text');
    assert.deepEqual([last?.done, last?.total], [3 * passages, 3 * passages]);
});

test('a model has no distance from itself; a decoder can be compared, too, and passages be few', async () => {
    const gemma = `${root}tests/fixtures/models/gemma2.gguf`;
    const {
        models: [copy],
        passages,
        ...others
    } = await compareEmbeddings([gemma, { source: new Uint8Array(readFileSync(gemma)), name: 'copy' }], {
        ...quick,
        text: ['a', 'b c', 'd', 'e', 'f'],
        passages: 4,
    });
    assert.deepEqual([copy.distance.largest, copy.rankCorrelation, passages], [0, 1, 4]);
    assert.ok(!('tokensPerSecond' in others.base) && !('weights' in copy));
});

test('what cannot be compared is refused by name; a signal ends it', async () => {
    const any = /** @type {any} */ (compareEmbeddings),
        bert = `${encoders}bert.gguf`;
    for (const [run, code, message] of /** @type {[() => Promise<any>, string, RegExp][]} */ ([
        [() => any([source], quick), 'ARGUMENT', /^compareEmbeddings\(\): give a base and at least one model/],
        [() => any([source, bert], { ...quick, text: [1, 2] }), 'ARGUMENT', /text must be a text or an array of texts/],
        [() => any([source, bert], { ...quick, text: ['a', ' ', 'b', 'c'] }), 'ARGUMENT', /passage 1 is empty/],
        [() => any([source, bert], { ...quick, text: 'Short.' }), 'ARGUMENT', /has 0 passages .* at least 3/],
        [() => any([source, bert], { ...quick, passages: 2 }), 'ARGUMENT', /passages/],
        [() => any([source, bert], { ...quick, stride: 8 }), 'ARGUMENT', /no option "stride"/],
        [() => any([source, models.tiny], quick), 'ARGUMENT', /tiny\.gguf: its vectors have \d+ numbers, and .* 32/],
        [() => any([source, `${encoders}none.gguf`], quick), 'FILE', /none\.gguf: there is no such file/],
    ]))
        await assert.rejects(run, { name: 'NibbleError', code: `NB_ERR_${code}`, message });
    const controller = new AbortController();
    const stopped = compareEmbeddings([source, bert], {
        ...quick,
        signal: controller.signal,
        onProgress: ({ doing }) => doing === 'text' && controller.abort(new Error('enough')),
    });
    await assert.rejects(stopped, { message: 'enough' });
});

test('the command compares encoders by their vectors, and others if asked to; its page has the table', async () => {
    const file = join(temporary, 'q4.gguf'),
        html = join(temporary, 'page.html'),
        text = `${root}demo/sample.txt`,
        gemma = `${root}tests/fixtures/models/gemma2.gguf`;
    writeFileSync(file, await made(source, 'q4_0'));
    const nibble = (/** @type {string[]} */ ...args) =>
        execFileSync(process.execPath, [`${root}web/cli.js`, 'compare', ...args, '--file', text, '--threads', '1'], {
            encoding: 'utf8',
        });
    const said = nibble(source, file, '--no-speed', '--html', html);
    assert.match(said, /^model +MB +bits +cosine +least +rank corr\. +weights +memory\n/);
    assert.match(said, /\n20 passages compared, with \d+ tokens\n$/);
    const [{ distance, rankCorrelation }] = (await compareEmbeddings([source, file], { ...quick, text: SAMPLE }))
            .models,
        correlation = String(rankCorrelation?.toFixed(5));
    const cells = [(1 - distance.mean).toFixed(6), (1 - distance.largest).toFixed(6), correlation];
    assert.match(said, new RegExp(cells.join(' +').replaceAll('.', '\\.')));
    const page = readFileSync(html, 'utf8');
    for (const cell of cells) assert.ok(page.includes(`<td>${cell}</td>`), cell);
    assert.ok(!page.includes('erplexity'));
    const other = `${root}tests/fixtures/llamacpp/gemma2-q4_0.gguf`;
    const { passages } = JSON.parse(
        nibble(gemma, other, '--no-speed', '--no-weights', '--embeddings', '--passages', '5', '--json'),
    );
    assert.equal(passages, 5);
    const args = [`${root}web/cli.js`, 'compare', source, file, '--file', text, '--stride', '8'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.deepEqual([status, /--stride is not for embeddings/.test(stderr)], [2, true], stderr);
});
