// The chat in the terminal: what each line does. terminal.test.js types at a terminal.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Conversation } from '../../web/cli/conversation.js';
import { NibbleError } from '../../web/index.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-conversation-'));
after(() => rmSync(folder, { recursive: true }));

/** A model that answers with the number of messages, and fails where it is told to. */
function counting() {
    /** @type {any[][]} */
    const asked = [];
    const model = {
        asked,
        chat(/** @type {any[]} */ messages) {
            asked.push(messages);
            const text = `answer ${messages.length}`;
            if (messages.at(-1).content === 'fail') throw new NibbleError('NB_ERR_CONTEXT', 'the prompt is too long');
            const result = { text, finishReason: messages.at(-1).content === 'long' ? 'length' : 'stop' };
            return Object.assign(Promise.resolve(result), {
                stop() {},
                async *chunks() {
                    if (messages.at(-1).content === 'think')
                        for (const reasoning of ['Hm, ', 'well.'])
                            yield { text: '', reasoning, toolCalls: [], raw: '' };
                    for (const piece of text.split(/(?= )/))
                        yield { text: piece, reasoning: '', toolCalls: [], raw: piece };
                },
            });
        },
    };
    return model;
}

/** @param {string} [system] */
function begin(system) {
    const model = counting();
    let printed = '';
    const conversation = new Conversation(/** @type {any} */ (model), {}, system, (text) => (printed += text));
    return {
        model,
        conversation,
        /** Types the lines; what is printed meanwhile. @param {string[]} lines */
        async type(...lines) {
            printed = '';
            for (const line of lines) await conversation.take(line);
            return printed;
        },
    };
}

const user = (/** @type {string} */ content) => ({ role: 'user', content }),
    assistant = (/** @type {string} */ content) => ({ role: 'assistant', content }),
    system = { role: 'system', content: 'Be short.' };

test('messages: each is asked with all before it; /undo and /reset forget', async () => {
    const { model, conversation, type } = begin('Be short.');
    assert.equal(await type('Hello', ''), 'answer 2\n');
    assert.equal(
        await type('think', '/undo'),
        '[thinks: Hm, well.]\n\nanswer 4\nThe last message and its answer are forgotten.\n',
    );
    model.asked.pop();
    assert.equal(await type('  long '), 'answer 4 [cut at its length]\n');
    assert.deepEqual(model.asked[1], [system, user('Hello'), assistant('answer 2'), user('long')]);
    assert.match(await type('/undo'), /The last message and its answer are forgotten/);
    assert.deepEqual(conversation.messages, [system, user('Hello'), assistant('answer 2')]);
    assert.match(await type('/undo', '/undo'), /there is nothing to forget/);
    assert.deepEqual(conversation.messages, [system]);
    await type('Hello', '/reset');
    assert.deepEqual(conversation.messages, [system]);
});

test('a message that fails is not part of the conversation', async () => {
    const { conversation, type } = begin();
    await type('Hello');
    assert.match(await type('fail'), /^the prompt is too long\n\/reset starts a new conversation; \/undo/);
    assert.deepEqual(conversation.messages, [user('Hello'), assistant('answer 1')]);
});

test('a line that ends with a backslash goes on in the next one', async () => {
    const { model, conversation, type } = begin();
    await type('a poem\\');
    assert.equal(conversation.goesOn, true);
    await type('/save is part of it\\', '', 'Again');
    assert.deepEqual(model.asked, [
        [user('a poem\n/save is part of it')],
        [user('a poem\n/save is part of it'), assistant('answer 1'), user('Again')],
    ]);
    await type('to be dropped\\');
    conversation.drop();
    await type('New');
    assert.equal(model.asked[2].at(-1)?.content, 'New');
});

test('commands: unknown ones, and what they take', async () => {
    const { model, conversation, type } = begin();
    assert.match(await type('/help'), /\/save FILE +write .*\n +\/load FILE +go on/);
    assert.match(await type('/frob'), /There is no command \/frob\.\n +\/reset/);
    assert.match(await type('/constructor'), /There is no command/);
    assert.match(await type('/save'), /\/save needs a FILE/);
    assert.match(await type('/reset now'), /\/reset takes nothing else/);
    assert.deepEqual(model.asked, []);
    await type('/usr/bin/env is what?', '/ is what?', '1/2 is what?'); // these are no commands
    assert.equal(model.asked.length, 3);
    assert.equal(await conversation.take('/exit'), true);
    assert.equal(await conversation.take('/quit'), true);
});

test('/save and /load: another conversation goes on', async () => {
    const path = join(folder, 'a talk.json'),
        first = begin('Be short.'),
        second = begin();
    await first.type('Hello');
    assert.match(await first.type(`/save ${path}`), /^3 messages are in .*a talk\.json/);
    const saved = [system, user('Hello'), assistant('answer 2')];
    assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), saved);
    assert.match(await second.type(`/load ${path}`), /^3 messages are loaded; the last one: answer 2\n/);
    await second.type('And now?');
    assert.deepEqual(second.model.asked, [[...saved, user('And now?')]]);
    // it may write over its own file, and over no other
    assert.match(await second.type(`/save ${path}`), /^5 messages are in/);
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).length, 5);
    const other = join(folder, 'other.txt');
    writeFileSync(other, 'precious');
    assert.match(await second.type(`/save ${other}`), /other\.txt is there already: give another name, or remove it/);
    assert.equal(readFileSync(other, 'utf8'), 'precious');
    assert.match(await second.type(`/save ${folder}`), /is a folder/);
    assert.match(await second.type(`/save ${folder}/none/a.json`), /there is no folder/);
    assert.match(await begin().type(`/save ${folder}/none.json`), /there is no conversation to save yet/);
    assert.equal(existsSync(`${folder}/none.json`), false);
});

test('/load: what is no conversation is refused, and the present one stays', async () => {
    const { conversation, type } = begin();
    await type('Hello');
    /** @type {[string, RegExp][]} */
    const cases = [
        ['', /is not JSON, which \/save writes/],
        ['{"role": "user", "content": "a"}', /is no list of messages/],
        ['[]', /with at least one of them/],
        ['[1]', /message 0 has no role/],
        ['[{ "role": "user", "content": 1 }]', /the content of message 0 must be a text/],
        ['null', /is no list of messages/],
    ];
    for (const [text, message] of cases) {
        const path = join(folder, 'wrong.json');
        writeFileSync(path, text);
        assert.match(await type(`/load ${path}`), message);
    }
    assert.match(await type(`/load ${folder}/none.json`), /cannot read .*none\.json/);
    assert.match(await type(`/load ${folder}`), /\/load: cannot read/);
    assert.match(await type('/load -'), /\/load: cannot read/); // it is a name here, and not the terminal
    assert.deepEqual(conversation.messages, [user('Hello'), assistant('answer 1')]);
});
