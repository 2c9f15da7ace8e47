// The examples for pages, opened as examples/README.md says: each must give the toy model's answer.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { load } from '../../web/index.js';
import { missing, models, root } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { useDemo } from '../support/demo-page.js';

const QUESTION = 'Who are you?';
const noReact = missing(!existsSync(`${root}node_modules/react-dom`) && 'react-dom is missing: run make setup');

describe('examples for pages', { skip }, () => {
    const { visit } = useDemo();
    const ready = 'text=/^ready$/';

    /** @param {string} name */
    const answers = (name) =>
        visit({ query: `../examples/${name}`, wait: ready }, async (page) => {
            await page.fill('input', QUESTION);
            await page.click('text=Ask');
            await page.waitForSelector('text=/^\\d+ tokens, ended by (stop|length)$/');
            const model = await load(models.stories);
            const { text } = await model.chat(QUESTION, { maxTokens: 64 });
            await model.dispose();
            assert.ok(text.length > 20, text);
            assert.equal(await page.textContent('#answer'), text);
            // a failure is shown, and the next question is answered
            await page.fill('input', 'word '.repeat(3000));
            await page.click('text=Ask');
            await page.waitForSelector('text=/^the prompt has \\d+ tokens/');
            await page.fill('input', QUESTION);
            await page.click('text=Ask');
            await page.waitForSelector('text=/^\\d+ tokens, ended by (stop|length)$/');
            assert.equal(await page.textContent('#answer'), text);
        });

    it('page.html', () => answers('page.html'));
    it('worker.html', () => answers('worker.html'));
    it('react.html', { skip: noReact }, () => {
        const bundle = '--bundle --jsx=automatic --format=esm --outfile=build/react.js';
        execFileSync(`${root}node_modules/.bin/esbuild`, ['examples/react.jsx', ...bundle.split(' ')], {
            cwd: root,
            stdio: ['ignore', 'ignore', 'pipe'],
        });
        return answers('react.html');
    });
});
