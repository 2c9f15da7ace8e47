// nibble-llm/react on a server, which renders and does nothing else. (tests/page/react.test.js has the rest.)
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { missing, root } from '../support/builds.js';

const PACKAGE = 'react'; // no literal in import(): its types are not among the packages
const skip = missing(!existsSync(`${root}node_modules/${PACKAGE}-dom`) && 'react-dom is missing: run make setup');

test('useNibble() on a server touches no source', { skip }, async () => {
    const { createElement } = await import(PACKAGE),
        { renderToString } = await import(`${PACKAGE}-dom/server`),
        { useNibble } = await import('../../web/react/index.js');
    const untouched = /** @type {any} */ (
        new Proxy({}, { get: () => assert.fail('it was read'), has: () => assert.fail('it was looked into') })
    );
    /** @type {any[]} */
    const given = [];
    const Probe = (/** @type {{ source: any }} */ { source }) => {
        given.push(useNibble(source));
        return createElement('p', null, given.at(-1).status);
    };
    assert.equal(renderToString(createElement(Probe, { source: untouched })), '<p>loading</p>');
    assert.equal(renderToString(createElement(Probe, { source: undefined })), '<p>idle</p>');
    await new Promise((resolve) => setImmediate(resolve));
    const [{ text, reasoning, toolCalls, progress, model, result, error, chat, runTools }] = given;
    assert.deepEqual([text, reasoning, toolCalls], ['', '', []]);
    assert.deepEqual([progress, model, result, error], [undefined, undefined, undefined, undefined]);
    assert.equal(await runTools('Hello', [{ name: 'now', run: () => 'now' }]), undefined);
    assert.equal(await chat('Hello'), undefined); // and does not reject
});
