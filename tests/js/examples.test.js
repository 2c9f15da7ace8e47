// The examples for Node, started as examples/README.md says, and the code in README. (tests/page/examples.test.js has
// the examples for pages.)
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { models, root } from '../support/builds.js';

const QUESTION = 'Who are you?';

/** The toy model's answer. */
async function expected() {
    const model = await load(models.tiny);
    const { text } = await model.chat(QUESTION, { maxTokens: 64 });
    await model.dispose();
    assert.ok(text.length > 20, text);
    return text;
}

test("README's code runs", async () => {
    const [, lines] = /^```js\n([\s\S]*?)^```/m.exec(readFileSync(`${root}README.md`, 'utf8')) ?? [];
    assert.ok(lines?.includes("load('SmolLM2"), 'the lines were not found');
    const program = `${lines.replace(/load\('[^']*'/, `load(${JSON.stringify(models.tiny)}`)}
        console.log(JSON.stringify([text, vector.length]));`;
    const command = ['--input-type=module', '--eval', program];
    const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const [text, length] = JSON.parse(stdout.slice(stdout.lastIndexOf('[')));
    assert.ok(text.length > 0 && length > 0, stdout);
});

test('examples/script.js prints the answer, and ends', async () => {
    const command = ['examples/script.js', models.tiny, QUESTION];
    const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, `${await expected()}\n`);
    assert.match(stderr, /^\d[\d.]* tokens per second$/m);
});

test('examples/server.js streams answers, answers again after a reader has left, and ends', async () => {
    const server = spawn(process.execPath, ['examples/server.js', models.tiny, '0'], {
        cwd: root,
        stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(server, 'exit');
    try {
        const [line] = await once(server.stdout, 'data');
        const url = String(line).trim();
        assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/chat$/);
        const ask = (/** @type {RequestInit} */ init = {}) => fetch(url, { method: 'POST', body: QUESTION, ...init });
        const wanted = `${await expected()}\n`;

        let text = '',
            pieces = 0;
        const { body } = await ask();
        assert.ok(body);
        for await (const piece of body.pipeThrough(new TextDecoderStream())) {
            text += piece;
            pieces++;
        }
        assert.equal(text, wanted);
        assert.ok(pieces > 1, 'it came in one piece');

        const leaving = new AbortController(),
            left = await ask({ signal: leaving.signal });
        await left.body?.getReader().read();
        leaving.abort();
        assert.equal(await (await ask()).text(), wanted);
        assert.equal((await fetch(url)).status, 404);
        assert.equal((await ask({ body: 'x'.repeat((1 << 20) + 1) })).status, 413);
    } finally {
        server.kill('SIGTERM');
    }
    assert.deepEqual(await gone, [0, null]);
});
