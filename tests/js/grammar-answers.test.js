// Answers that follow a grammar: whatever is sampled, with streams, stop texts, several answers, log-probabilities,
// saved sessions, by the command, and by OpenAI's requests.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { load } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { grammarOf } from '../support/grammar.js';

/** @typedef {import('../../web/index.d.ts').Model} Model */

const JSON_GRAMMAR = String.raw`
root ::= "{" pair ("," pair){0,3} "}"
pair ::= "\"" [a-zé€😀]{1,3} "\":" value
value ::= "true" | [1-9] [0-9]{0,4} | "[" (value ("," value){0,2})? "]" | "\"" [^"\\\x00-\x1f]{0,6} "\""`;

describe('with one model', () => {
    /** @type {Model} */
    let model;
    before(async () => {
        model = await load(models.tiny, { threads: 1, contextLength: 512 });
    });
    after(() => model.dispose());

    it('any sampler: whole answers match, and cut ones begin a match', async () => {
        const grammar = grammarOf(JSON_GRAMMAR);
        /** @type {import('../../web/index.d.ts').GenerateOptions[]} */
        const ways = [
            { temperature: 0 },
            { temperature: 5, topK: 0, topP: 1, minP: 0 },
            { temperature: 2, typicalP: 0.2, topNSigma: 1, xtcProbability: 1, xtcThreshold: 0 },
            { temperature: 1, mirostat: 1 },
            { temperature: 1, mirostat: 2, repeatPenalty: 2, frequencyPenalty: 5, dryMultiplier: 10 },
        ];
        let whole = 0,
            cut = 0;
        for (const [i, way] of ways.entries())
            for (let seed = 0; seed < 4; seed++) {
                const maxTokens = seed === 0 ? 5 + i : 300;
                const { text, finishReason } = await model.complete('a', {
                    ...way,
                    ...(way.temperature ? { seed } : {}),
                    grammar: JSON_GRAMMAR,
                    maxTokens,
                });
                if (finishReason === 'stop') {
                    assert.ok(grammar.matches(text), `${JSON.stringify(way)}: ${text}`);
                    JSON.parse(text);
                    whole++;
                } else {
                    assert.equal(finishReason, 'length');
                    assert.ok(grammar.begins(text) && !text.endsWith('\ufffd'), `${JSON.stringify(way)}: ${text}`);
                    cut++;
                }
            }
        assert.ok(whole > 5 && cut > 2, `${whole} whole, ${cut} cut`);
    });

    it('an answer ends where nothing can follow, and goes on where something must', async () => {
        const one = await model.complete('a', { grammar: 'root ::= "yes" | "yesterday"', maxTokens: 50 });
        assert.ok(['yes', 'yesterday'].includes(one.text) && one.finishReason === 'stop');
        const empty = await model.complete('a', { grammar: 'root ::= ""', maxTokens: 50 });
        assert.deepEqual([empty.text, empty.tokens, empty.finishReason], ['', [], 'stop']);
        // an end token is no part of a text that must go on, even if it is the likeliest by far
        const end = model.info.tokenizer?.end ?? 0;
        const options = { logitBias: [[end, 1e9]], grammar: 'root ::= "x"{3} "y"*', maxTokens: 20 };
        assert.equal((await model.complete('a', /** @type {any} */ (options))).text, 'xxx');
        const ignored = await model.complete('a', /** @type {any} */ ({ ...options, ignoreEnd: true }));
        assert.ok(/^xxxy+$/.test(ignored.text) && ignored.finishReason === 'length', ignored.text);
        // the answer is complete with the last token that is allowed
        const exact = await model.complete('a', { grammar: 'root ::= "\\u20ac"', maxTokens: 3 });
        assert.deepEqual([exact.text, exact.finishReason], ['€', 'stop']);
        const part = await model.complete('a', { grammar: 'root ::= "z\\u20ac"', maxTokens: 3 });
        assert.deepEqual([part.text, part.finishReason], ['z', 'length']);
        const full = await model.complete('a '.repeat(200), { grammar: 'root ::= "x"{5000}', maxTokens: 5000 });
        assert.ok(/^x+$/.test(full.text) && full.finishReason === 'length');
    });

    it('with a stream, a stop text, log-probabilities, onLogits() and a saved session', async () => {
        const grammar = 'root ::= [ab]{4} "," [ab]+ ";"',
            options = { grammar, temperature: 1, seed: 5, maxTokens: 40, topK: 0 };
        const plain = await model.complete('one two', options);
        const stream = model.complete('one two', options);
        let text = '';
        for await (const piece of stream) text += piece;
        assert.equal(text, plain.text);
        const told = await model.complete('one two', { ...options, logprobs: true, topLogprobs: 3 });
        assert.deepEqual([told.text, told.logprobs?.length], [plain.text, plain.tokens.length]);
        // they are the model's own: without a grammar another token is likelier
        assert.ok(told.logprobs?.some(({ token, top }) => top.every((each) => each.token !== token)));
        const stopped = await model.complete('one two', { ...options, stop: [','] });
        assert.match(stopped.text, /^[ab]{4}$/);
        const [b] = await model.tokenize('b', { bare: true });
        const forced = await model.complete('one two', {
            ...options,
            onLogits: (logits) => {
                logits[b] += 1000;
            },
        });
        assert.match(forced.text, /^b{4},b+$/);
        const [z] = await model.tokenize('z', { bare: true });
        const onLogits = (/** @type {Float32Array} */ logits) => {
            logits.fill(-Infinity);
            logits[z] = 1;
        };
        await assert.rejects(async () => model.complete('a', { ...options, onLogits }), {
            code: 'NB_ERR_ARGUMENT',
            message: /no token is left/,
        });
        await model.complete('one two', options);
        const saved = await model.save();
        await model.complete('other', { maxTokens: 1 });
        await model.restore(saved);
        assert.deepEqual((await model.complete('one two', options)).tokens, plain.tokens);
    });

    it('what is wrong is said, and the next request is answered', async () => {
        const wrong = async (/** @type {any} */ grammar) => model.complete('a', { grammar });
        await assert.rejects(wrong('root ::= a'), {
            code: 'NB_ERR_FORMAT',
            message: /line 1, column 10: there is no rule a/,
        });
        await assert.rejects(wrong(5), {
            code: 'NB_ERR_ARGUMENT',
            message: /complete\(\): grammar must be a text, not 5/,
        });
        for (
            let i = 0;
            i < 10;
            i++ // more than are kept
        )
            assert.equal((await model.complete('a', { grammar: `root ::= "${i}"` })).text, `${i}`);
        assert.equal((await model.complete('a', { grammar: 'root ::= "0"' })).text, '0');
    });

    it("by OpenAI's requests", async () => {
        const request = { prompt: 'a', grammar: 'root ::= "no" | "on"', n: 3, temperature: 1, max_tokens: 9 };
        const { choices } = await model.completions.create(request);
        assert.deepEqual(choices.filter(({ text }) => /^(no|on)$/.test(text)).length, 3);
        const { choices: free } = await model.completions.create({ ...request, n: 1, grammar: '', max_tokens: 1 });
        assert.equal(free.length, 1);
        await assert.rejects(async () => model.completions.create(/** @type {any} */ ({ ...request, grammar: 1 })), {
            param: 'grammar',
        });
    });
});

it('docs/structured.md: its example of a grammar runs', () => {
    const page = readFileSync(`${root}docs/structured.md`, 'utf8'),
        examples = Array.from(page.matchAll(/^```js\n([\s\S]*?)^```/gm), ([, lines]) => lines),
        lines = examples.find((lines) => lines.includes('const grammar =')) ?? '',
        program = lines.replace(/load\('[^']*'/, `load(${JSON.stringify(models.tiny)}`);
    assert.notEqual(program, lines);
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
        cwd: root,
        encoding: 'utf8',
    });
    assert.match(stdout, /^(yes|no), because [\s\S]* (stop|length)\n$/, stderr);
});

it('by the command, which reads a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'nibble-grammar-')),
        file = join(folder, 'x.gbnf');
    const run = (/** @type {string} */ path) =>
        spawnSync(process.execPath, [`${root}web/cli.js`, 'run', models.tiny, '--prompt', 'a', '--grammar', path], {
            encoding: 'utf8',
        });
    try {
        writeFileSync(file, 'root ::= "ein" ("s" | "e")');
        assert.match(run(file).stdout, /^ein[se]\n$/);
        writeFileSync(file, 'root ::=\n  nothing');
        assert.match(run(file).stderr, /line 2, column 3: there is no rule nothing/);
        assert.match(run(join(folder, 'no')).stderr, /--grammar: cannot read .*no:/);
    } finally {
        rmSync(folder, { recursive: true });
    }
});
