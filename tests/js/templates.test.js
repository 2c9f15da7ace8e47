// llama.cpp's 70 chat templates (`make vocabularies` fetches them) with 60 conversations, ordinary and hostile ones:
// prompts and tokens are those of transformers (tests/oracles/template_vectors.py), so no message can forge a turn.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root, vocabularies } from '../support/builds.js';
import { engineOf, promptOf } from '../support/chat-engine.js';

process.env.TZ = 'UTC';
const folder = `${vocabularies}templates/`;
const skip = !existsSync(folder) && 'the chat templates are missing: make vocabularies';
/**
 * @type {{ time: number, tokenizers: string[], conversations: { messages: any[], tools?: object[] }[],
 *     templates: Record<string, string> }}
 */
const expected = JSON.parse(readFileSync(`${root}tests/fixtures/text/templates.json`, 'utf8'));

const SPECIAL = /<\|[^<>|\s]+\|>|<｜[^<>｜\s]+｜>|\[\|[a-z]+\|\]|<\/?[a-z_]+>|\[\/?[A-Z_]+\]/g;
const TAG = /^<\/?[a-z_]+>$/;

/** @param {string} template */
const spelt = (template) => [...new Set(template.match(SPECIAL))].sort();

/** The tokenizer with the special tokens that the template's source has, as in template_vectors.py.
 * @param {any} tokenizer @param {string} template */
function withTokens(tokenizer, template) {
    const { vocab } = tokenizer.model;
    const known = tokenizer.added_tokens.map((/** @type {{ content: string }} */ token) => token.content);
    const names = [...new Set(['<s>', '</s>', ...spelt(template)])].filter((name) => !known.includes(name));
    const first =
        Math.max(
            ...tokenizer.added_tokens.map((/** @type {{ id: number }} */ { id }) => id),
            ...Object.values(vocab).map(Number),
        ) + 1;
    return {
        ...tokenizer,
        post_processor: null,
        added_tokens: [
            ...tokenizer.added_tokens,
            ...names.map((content, i) => ({
                id: vocab[content] ?? first + i,
                content,
                single_word: false,
                lstrip: false,
                rstrip: i % 2 === 0 && !TAG.test(content),
                normalized: false,
                special: !TAG.test(content) || content === '<s>' || content === '</s>',
            })),
        ],
    };
}

/** @param {any} value @param {(text: string) => string} text @returns {any} */
function mapped(value, text) {
    if (typeof value === 'string') return text(value);
    if (Array.isArray(value)) return value.map((item) => mapped(item, text));
    return value && typeof value === 'object'
        ? Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key), mapped(item, text)]))
        : value;
}

const digits = (/** @type {string} */ data) => createHash('sha256').update(data).digest('hex').slice(0, 4);
/** @type {any[]} */
const bases = expected.tokenizers.map(
    (name) => JSON.parse(readFileSync(`${root}tests/fixtures/tokenizers/${name}.json`, 'utf8')).tokenizer,
);

for (const [name, row] of Object.entries(expected.templates))
    test(`${name}: prompts are transformers'`, { skip }, async (t) => {
        t.mock.timers.enable({ apis: ['Date'], now: expected.time });
        const template = readFileSync(`${folder}${name}.jinja`, 'utf8'),
            names = spelt(template);
        const engines = await Promise.all(
            bases.map((base) => engineOf(withTokens(base, template), { bos_token: '<s>', eos_token: '</s>' })),
        );
        for (const [i, { messages, tools }] of expected.conversations.entries()) {
            const wanted = row.slice(8 * i, 8 * i + 8);
            const filled = mapped(messages, (text) =>
                text.replace(/\{S(\d)\}/g, (_, k) => (names.length ? names : ['<s>'])[(k * 7) % (names.length || 1)]),
            );
            const engine = engines[i % engines.length];
            const prompt = await promptOf(engine, template, filled, { tools }).catch(
                (/** @type {Error} */ error) => error,
            );
            const told = `conversation ${i}: ${JSON.stringify(filled)} -> ${prompt instanceof Error ? prompt.stack : JSON.stringify(prompt)}`;
            if (wanted === '!!!!!!!!') {
                assert.ok(prompt instanceof Error, `the reference refuses ${told}`);
                continue;
            }
            assert.ok(!(prompt instanceof Error), told);
            assert.equal(digits(prompt.text), wanted.slice(0, 4), told);
            const tokens = prompt.tokens;
            if (wanted.slice(4) !== '----')
                assert.equal(digits(JSON.stringify(tokens)), wanted.slice(4), `tokens of ${told}`);
        }
    });
