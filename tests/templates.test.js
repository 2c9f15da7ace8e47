// llama.cpp's 70 chat templates, where make vocabularies has put them: they render as they do with jinja2 in the environment
// that transformers gives them (tests/oracles/template_vectors.py). What does not is listed below, with the reason.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mock, test } from 'node:test';
import { chatTokens } from '../web/chat.js';
import { root, vocabularies } from './builds.js';

/** Templates that @huggingface/jinja renders otherwise, or cannot. @type {Record<string, string>} */
const others = {
    'ByteDance-Seed-OSS': 'keys of its objects are integers, which the package refuses',
    'HuggingFaceTB-SmolLM3-3B': 'lstrip("\n") takes all white space from the front of an answer, not line ends alone',
    'Qwen-QwQ-32B': 'lstrip("\n"), as above',
    'meetkai-functionary-medium-v3.1': 'selectattr refuses none, which is nothing to jinja2',
    'tencent-Hy3': 'the package has no format() for texts',
};

const expected = JSON.parse(readFileSync(`${root}tests/fixtures/text/templates.json`, 'utf8'));
const skip = !existsSync(`${vocabularies}complete`) && 'build/vocabularies is missing: run make vocabularies';

/** The text of a conversation. @param {string} template @param {any[]} messages */
async function render(template, messages) {
    let text = '';
    await chatTokens({
        template, beginText: '<s>', endText: '</s>', beginTokens: [], specials: () => [],
        tokenize(all) {
            text = all;
            return [];
        },
    }, messages);
    return text;
}

/** What differs, or ''. @param {string} name @param {(string | null)[]} digests */
async function difference(name, digests) {
    const template = readFileSync(`${vocabularies}templates/${name}.jinja`, 'utf8');
    for (const [i, messages] of expected.conversations.entries()) {
        let text;
        try {
            text = await render(template, messages);
        } catch (error) {
            if (digests[i] === null) continue; // so does the reference
            return `conversation ${i}: ${error instanceof Error ? error.message : error}`;
        }
        if (digests[i] === null) return `conversation ${i}: the reference refuses it`;
        if (createHash('sha256').update(text).digest('hex').slice(0, 16) !== digests[i])
            return `conversation ${i}: another text: ${JSON.stringify(text)}`;
    }
    return '';
}

test('chat templates', { skip }, async t => {
    mock.timers.enable({ apis: ['Date'], now: expected.time });
    let equal = 0;
    for (const [name, digests] of Object.entries(expected.templates)) {
        const found = await difference(name, digests);
        if (others[name]) {
            assert.notEqual(found, '', `${name} renders now: take it off the list`);
            t.diagnostic(`${name}: not as the reference: ${others[name]}`);
        } else {
            assert.equal(found, '', name);
            equal++;
        }
    }
    mock.timers.reset();
    t.diagnostic(`${equal} of ${Object.keys(expected.templates).length} templates render as the reference does`);
});
