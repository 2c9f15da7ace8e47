// What the demo's chat does around an answer (demo/talk.js). tests/page/talk.test.js has the page.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { talk } from '../../demo/talk.js';

const USER = { role: 'user', content: 'Hi' };
const called = (/** @type {string} */ name) => ({
    id: name,
    type: /** @type {const} */ ('function'),
    function: { name, arguments: '{}' },
});

/** A model that gives these answers, one after another; stop() ends one. @param {...any} results */
function scripted(...results) {
    const log = /** @type {any[]} */ ([]);
    const chat = (/** @type {any} */ messages, /** @type {any} */ options) => {
        log.push({ messages: [...messages], options });
        const result = { text: '', finishReason: 'stop', ...results.shift() };
        return Object.assign(Promise.resolve(result), {
            tokens: [1, 2, 3],
            stop: () => Object.assign(result, { finishReason: 'abort' }),
            async *chunks() {
                yield { text: result.text, reasoning: '', toolCalls: result.toolCalls ?? [], raw: '' };
            },
        });
    };
    return { model: /** @type {any} */ ({ chat, complete: chat, info: { chatTemplate: 'x' } }), log };
}

const NOW = { name: 'now', run: () => ({ hour: 7 }) },
    BAD = { name: 'bad', run: () => assert.fail('not so') };

/** @param {any} model @param {any[]} tools */
function heard(model, tools, system = '') {
    const texts = /** @type {string[]} */ ([]),
        results = /** @type {string[]} */ ([]);
    const going = talk(
        model,
        [USER],
        { system, tools, options: { maxTokens: 9 } },
        { chunk: ({ text }) => texts.push(text), result: ({ id }, result) => results.push(`${id}: ${result}`) },
    );
    return { going, texts, results };
}

test('an answer, with the system message before it', async () => {
    const { model, log } = scripted({ text: 'Hello.' }),
        { going, texts } = heard(model, [], 'Be brief.');
    const { result, added } = await going.done;
    assert.deepEqual([result.text, added, texts], ['Hello.', [{ role: 'assistant', content: 'Hello.' }], ['Hello.']]);
    assert.deepEqual(log[0], {
        messages: [{ role: 'system', content: 'Be brief.' }, USER],
        options: { maxTokens: 9 },
    });
    assert.equal(going.tokens(), 3);
    // an answer without a text is no part of the conversation
    assert.deepEqual((await heard(scripted({}).model, []).going.done).added, []);
    // a model without a chat template goes on with the text
    const plain = scripted({ text: ' there.' });
    plain.model.info.chatTemplate = undefined;
    await heard(plain.model, [], 'Be brief.').going.done;
    assert.equal(plain.log[0].messages.join(''), 'Hi');
});

test('functions are run, and their results and errors are heard', async () => {
    const { model, log } = scripted(
            { text: 'Well.', toolCalls: [called('now'), called('bad')] },
            { text: 'At seven.' },
        ),
        { going, texts, results } = heard(model, [NOW, BAD], 'Be brief.');
    const { added } = await going.done;
    assert.deepEqual(results.sort(), ['bad: Error: not so', 'now: {"hour":7}']); // they run at the same time
    assert.deepEqual(texts, ['Well.', 'At seven.']);
    assert.deepEqual(
        added.map(({ role, content }) => `${role}: ${content}`),
        ['assistant: Well.', 'tool: {"hour":7}', 'tool: {"error":"not so"}', 'assistant: At seven.'],
    );
    assert.equal(log[1].messages.length, 2 + 3);
    assert.equal(going.tokens(), 6);
});

test('calls that were not run are no part of the conversation', async () => {
    const { going } = heard(scripted({ text: 'Well.', toolCalls: [called('now')], finishReason: 'length' }).model, [
        NOW,
    ]);
    assert.deepEqual((await going.done).added, [{ role: 'assistant', content: 'Well.' }]);
    const endless = scripted(...Array(9).fill({ toolCalls: [called('now')] })),
        { going: long } = heard(endless.model, [NOW]),
        { added } = await long.done;
    assert.equal(endless.log.length, 5);
    assert.equal(long.tokens(), 5 * 3);
    assert.deepEqual(
        added.map(({ role }) => role),
        Array(4).fill(['assistant', 'tool']).flat(),
    );
});

test('stop() while a function runs ends the answer that comes after it', async () => {
    const { model, log } = scripted({ toolCalls: [called('now')] }, { text: 'At', toolCalls: [called('now')] }),
        stopping = { name: 'now', run: () => going.stop() };
    const { going } = heard(model, [stopping]);
    const { result, added } = await going.done;
    assert.deepEqual([result.finishReason, log.length], ['abort', 2]);
    assert.deepEqual(
        added.map(({ role, content }) => `${role}: ${content}`),
        ['assistant: ', 'tool: null', 'assistant: At'],
    );
});
