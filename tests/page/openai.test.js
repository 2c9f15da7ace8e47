// OpenAI's client in a page, bundled, over the fetch of nibble-llm/openai. (tests/js/openai.test.js has the rest.)
import assert from 'node:assert/strict';
import { relative } from 'node:path';
import { describe, it } from 'node:test';
import { buildSync } from 'esbuild';
import { load } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { useDemo } from '../support/demo-page.js';

describe("OpenAI's client in a page", { skip }, () => {
    const { browser, url } = useDemo();

    it('streams the answer, and is told what is wrong', async () => {
        const messages = [{ role: 'user', content: 'Who are you?' }];
        const { outputFiles } = buildSync({
            stdin: { contents: "export { default } from 'openai'", resolveDir: root },
            ...{ bundle: true, format: 'esm', write: false },
        });
        const page = await browser().newPage();
        await page.goto(`${url()}web/index.js`); // any page of the site
        const { pieces, refusal } = await page.evaluate(
            async ({ script, base, file, messages }) => {
                const module = (/** @type {string} */ url) => import(url);
                const { load } = await module(`${base}web/index.js`),
                    { openaiFetch } = await module(`${base}web/openai/index.js`),
                    { default: OpenAI } = await module(
                        URL.createObjectURL(new Blob([script], { type: 'text/javascript' })),
                    );
                const model = await load(`${base}${file}`),
                    fetch = openaiFetch(model),
                    baseURL = 'http://nowhere.invalid/v1';
                const client = new OpenAI({ apiKey: 'none', baseURL, fetch, dangerouslyAllowBrowser: true });
                const request = { model: 'any', messages, temperature: 0, max_completion_tokens: 24 };
                const pieces = [];
                for await (const { choices } of await client.chat.completions.create({ ...request, stream: true }))
                    pieces.push(choices[0].delta.content ?? '');
                const refusal = await client.chat.completions
                    .create({ ...request, web_search_options: {} })
                    .catch((/** @type {any} */ error) => [error.status, error.code, error.param]);
                await model.dispose();
                return { pieces, refusal };
            },
            { script: outputFiles[0].text, base: url(), file: relative(root, models.tiny), messages },
        );
        await page.close();
        const model = await load(models.tiny),
            { text } = await model.chat(messages, { temperature: 0, maxTokens: 24 });
        await model.dispose();
        assert.ok(pieces.length > 3, 'it came in one piece');
        assert.equal(pieces.join(''), text);
        assert.deepEqual(refusal, [400, 'NB_ERR_UNSUPPORTED', 'web_search_options']);
    });
});
