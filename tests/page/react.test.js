// useNibble() in a page, with React itself, and its StrictMode, which mounts all twice. Answers are those of chat().
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { buildSync } from 'esbuild';
import { load } from '../../web/index.js';
import { missing, models, root } from '../support/builds.js';
import { skip as noBrowser } from '../support/chromium.js';
import { useDemo } from '../support/demo-page.js';
import { withTemplate } from '../support/forced.js';

const skip =
    noBrowser || missing(!existsSync(`${root}node_modules/react-dom`) && 'react-dom is missing: run make setup');
const QUESTION = 'Who are you?',
    OPTIONS = { temperature: 0, maxTokens: 500, ignoreEnd: true };
/** An answer of thousands of tokens, so that a test has time to end it. */
const LONG = { temperature: 2, repeatPenalty: 1.5, seed: 1, maxTokens: 3000, ignoreEnd: true };

describe('useNibble() in a page', { skip }, () => {
    const { browser, url } = useDemo();
    /** @type {import('playwright-core').Page} */
    let page;
    /** How many workers were started. */
    let started = 0;
    /** @type {string[]} */
    const problems = [];
    /** The tiny model, under as many URLs as are wanted. @param {number} n */
    const tiny = (n) => `${url()}${relative(root, models.tiny)}?${n}`;

    /** Waits until so many workers are left. @param {number} count */
    async function left(count) {
        for (let tries = 0; tries < 500 && page.workers().length !== count; tries++) await page.waitForTimeout(10);
        assert.equal(page.workers().length, count);
    }

    /** @param {string} out @param {import('esbuild').BuildOptions} input */
    const bundle = (out, input) =>
        buildSync({
            ...{ bundle: true, jsx: 'automatic', format: 'esm', outfile: `${root}build/${out}`, logLevel: 'error' },
            ...input, // it finds the workers beside itself, in ../build/
        });

    before(async () => {
        bundle('react-app.js', { entryPoints: [`${root}tests/support/react-app.jsx`] });
        page = await browser().newPage();
        page.on('worker', () => started++);
        page.on('console', (message) => {
            const isIcon = message.location().url.endsWith('/favicon.ico'); // a script that is shown as a page has none
            if (message.type() === 'error' && !isIcon) problems.push(message.text());
        });
        page.on('pageerror', (error) => problems.push(error.message));
        await page.goto(`${url()}web/index.js`); // any page of the site
        await page.addScriptTag({ url: `${url()}build/react-app.js`, type: 'module' });
    });
    after(async () => {
        await page?.close();
        assert.deepEqual(problems, []);
    });

    it('loads nothing without a source', async () => {
        const status = await page.evaluate(async () => {
            const { mount, until } = /** @type {any} */ (globalThis);
            mount(undefined);
            return (await until((/** @type {any} */ nibble) => nibble)).status;
        });
        assert.deepEqual([status, started], ['idle', 0]);
    });

    it('loads once, though StrictMode mounts twice, with progress; the same URL is no other source', async () => {
        const { statuses, last, same } = await page.evaluate(async (source) => {
            const { mount, change, until, renders } = /** @type {any} */ (globalThis);
            renders.length = 0;
            mount(new URL(source));
            const { model } = await until((/** @type {any} */ { status }) => status === 'ready');
            const before = [...renders];
            change(new URL(source));
            change(new URL(source));
            const again = await until((/** @type {any} */ nibble) => nibble !== before.at(-1));
            return {
                statuses: before.map(({ status }) => status),
                last: before.at(-1).progress,
                same: again.model === model && again.status === 'ready',
            };
        }, tiny(1));
        assert.deepEqual([...new Set(statuses)], ['loading', 'ready']);
        const { size } = statSync(models.tiny);
        assert.deepEqual([last.loaded, last.total], [size, size]);
        assert.ok(same);
        assert.equal(started, 1);
        await left(1);
    });

    it('streams answers of chat() and complete() into the state', async () => {
        const model = await load(models.tiny, { threads: 1 });
        for (const method of /** @type {const} */ (['chat', 'complete'])) {
            const { text: wanted } = await model[method](QUESTION, OPTIONS);
            const { result, states, stable } = await page.evaluate(
                async ({ method, question, options }) => {
                    const { until, renders } = /** @type {any} */ (globalThis);
                    const given = await until(() => true);
                    renders.length = 0;
                    const result = await given[method](question, options);
                    const last = await until((/** @type {any} */ { status }) => status === 'ready');
                    const states = renders.map((/** @type {any} */ { status, text }) => ({ status, text }));
                    const stable = ['chat', 'complete', 'stop'].every((name) => given[name] === last[name]);
                    return { result, states, stable: stable && last.result.text === result.text };
                },
                { method, question: QUESTION, options: OPTIONS },
            );
            assert.equal(result.text, wanted);
            assert.deepEqual(states.at(-1), { status: 'ready', text: wanted });
            const before = states.filter((/** @type {any} */ { status }) => status === 'answering');
            assert.ok(
                before.some((/** @type {any} */ { text }) => text !== '' && text !== wanted),
                'the text came in one piece',
            );
            assert.ok(before.every((/** @type {any} */ { text }) => wanted.startsWith(text)));
            assert.ok(stable);
        }
        await model.dispose();
    });

    it('stop() keeps what there is; a new request stops the one before', async () => {
        const { stopped, shown, first, second, text } = await page.evaluate(
            async ({ question, long, options }) => {
                const { until } = /** @type {any} */ (globalThis);
                const { chat, stop } = await until(() => true);
                const going = chat(question, long);
                await until((/** @type {any} */ { status, text }) => status === 'answering' && text !== '');
                stop();
                const stopped = await going,
                    shown = await until((/** @type {any} */ { status }) => status === 'ready');
                const [first, second] = await Promise.all([chat(question, long), chat(question, options)]);
                const { text } = await until((/** @type {any} */ { status }) => status === 'ready');
                return { stopped, shown: [shown.text, shown.result.finishReason, shown.error], first, second, text };
            },
            { question: QUESTION, long: LONG, options: OPTIONS },
        );
        assert.deepEqual(shown, [stopped.text, 'abort', undefined]);
        assert.ok(stopped.tokens.length > 0 && stopped.tokens.length < LONG.maxTokens);
        assert.equal(first.finishReason, 'abort');
        assert.equal(text, second.text);
        assert.equal(second.finishReason, 'length');
    });

    it('errors of requests are in the state until the next request; an abort is none', async () => {
        const seen = await page.evaluate(
            async ({ question, long, options }) => {
                const { until } = /** @type {any} */ (globalThis);
                const { chat } = await until(() => true),
                    seen = [];
                const controller = new AbortController();
                for (const call of [
                    ['word '.repeat(9000)],
                    [question, { maxToken: 1 }],
                    [question, options],
                    [question, { ...long, signal: controller.signal }],
                ]) {
                    const answer = chat(...call);
                    if (/** @type {any} */ (call[1])?.signal) controller.abort();
                    const result = await answer,
                        { error } = await until((/** @type {any} */ { status }) => status === 'ready');
                    seen.push([error?.name, error?.code, result?.finishReason]);
                }
                return seen;
            },
            { question: QUESTION, long: LONG, options: OPTIONS },
        );
        assert.deepEqual(seen, [
            ['NibbleError', 'NB_ERR_CONTEXT', undefined],
            ['NibbleError', 'NB_ERR_ARGUMENT', undefined],
            [undefined, undefined, 'length'],
            [undefined, undefined, undefined],
        ]);
    });

    it('another source ends the answer, frees the model and loads another', async () => {
        const { between, early, given, first } = await page.evaluate(
            async ({ source, question, long }) => {
                const { change, until, renders } = /** @type {any} */ (globalThis);
                const old = await until(() => true),
                    going = old.chat(question, long);
                await until((/** @type {any} */ { status, text }) => status === 'answering' && text !== '');
                renders.length = 0;
                change(new URL(source));
                const given = await going;
                await until((/** @type {any} */ { status }) => status === 'loading');
                await old.chat(question);
                const early = (await until((/** @type {any} */ { error }) => error)).error.code;
                const { model } = await until((/** @type {any} */ { status }) => status === 'ready');
                const between = renders.filter((/** @type {any} */ nibble) => nibble.model !== model);
                return {
                    ...{ early, given },
                    between: between.map((/** @type {any} */ { status, text, model }) => [status, text, model]),
                    first: (await old.chat(question, { maxTokens: 4 })).tokens.length,
                };
            },
            { source: tiny(2), question: QUESTION, long: LONG },
        );
        assert.equal(given, undefined);
        assert.ok(
            between.length > 0 && between.every((/** @type {any} */ state) => String(state) === 'loading,,'),
            String(between),
        );
        assert.equal(early, 'NB_ERR_STATE');
        assert.equal(first, 4); // methods of an earlier render ask the model that is there now
        assert.equal(started, 2);
        await left(1);
    });

    it('a load that fails says why, until there is another source', async () => {
        const [failed, after, none] = await page.evaluate(async () => {
            const { change, until } = /** @type {any} */ (globalThis);
            change(new Uint8Array(100).fill(7));
            const failed = await until((/** @type {any} */ { status }) => status === 'failed');
            await failed.chat('Hello');
            const after = await until(() => true);
            change(null);
            const none = await until((/** @type {any} */ { status }) => status === 'idle');
            return [failed.error.code, after.error.code, none.error];
        });
        assert.deepEqual([failed, after, none], ['NB_ERR_FORMAT', 'NB_ERR_FORMAT', undefined]);
        await left(0);
    });

    it('shows thoughts and calls apart from the answer, and runs functions', { timeout: 60_000 }, async () => {
        const template =
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ '<think>' if 0 }}{% endfor %}{# <tool_call> #}";
        writeFileSync(`${root}build/react-thinks.gguf`, withTemplate(template));
        /** @type {any} */
        const { thought, ran, stopped } = await page.evaluate(async (source) => {
            const { change, until, unmount, renders, forced } = /** @type {any} */ (globalThis);
            const isReady = (/** @type {any} */ { status }) => status === 'ready';
            change(source);
            const { model, chat, runTools, stop } = await until(isReady);
            const rendered = () =>
                renders.map((/** @type {any} */ { status, text, reasoning, toolCalls }) => ({
                    ...{ status, text, reasoning },
                    calls: toolCalls.length,
                }));

            renders.length = 0;
            const answer = await chat('Hi', await forced(model, '<think>\nHm, well.\n</think>\n\nFour.'));
            await until(isReady);
            const thought = { answer, renders: rendered() };

            const call = (/** @type {string} */ city) =>
                `<tool_call>\n{"name": "weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
            /** @type {any[]} */
            const given = [],
                pieces = /** @type {string[]} */ ([]);
            const weather = {
                name: 'weather',
                run(/** @type {any} */ values) {
                    given.push(values);
                    return { sky: 'clear' };
                },
            };
            renders.length = 0;
            const run = await runTools('How is it?', [weather], {
                ...(await forced(model, `Well.\n${call('Oslo')}`, call('Bergen'), '<think>Hm.</think>Clear.')),
                onChunk: (/** @type {any} */ { text }) => pieces.push(text),
            });
            const after = await until(isReady);
            const ran = {
                ...{ run, given, renders: rendered(), text: pieces.join('') },
                calls: after.toolCalls.map((/** @type {any} */ each) => each.function.arguments),
                same: after.result.messages.length === run.messages.length,
            };

            // a function that runs until its signal tells it not to
            /** @type {(signal: AbortSignal) => void} */
            let begun = () => {};
            const endless = {
                name: 'weather',
                run: (/** @type {any} */ _, /** @type {any} */ { signal }) => {
                    begun(signal);
                    return new Promise(() => {});
                },
            };
            const stopped = [];
            for (const how of ['stop', 'abort', 'another', 'leave']) {
                const controller = new AbortController(),
                    started = new Promise((resolve) => {
                        begun = resolve;
                    });
                const going = runTools('How is it?', [endless], {
                    ...(await forced(model, call('Oslo'), 'No.')),
                    signal: controller.signal,
                });
                const signal = await started;
                let result;
                if (how === 'stop') stop();
                if (how === 'abort') controller.abort();
                if (how === 'another') result = (await chat('Hi', await forced(model, 'So.'))).text;
                if (how === 'leave') unmount();
                const gave = await going;
                if (how === 'leave') stopped.push([how, gave, signal.aborted]);
                else {
                    const { error, text, toolCalls } = await until(isReady);
                    stopped.push([how, gave, signal.aborted, error, text, toolCalls.length, result]);
                }
            }
            return { thought, ran, stopped };
        }, `${url()}build/react-thinks.gguf`);

        assert.deepEqual([thought.answer.text, thought.answer.reasoning], ['Four.', 'Hm, well.']);
        const [last] = thought.renders.slice(-1);
        assert.deepEqual(last, { status: 'ready', text: 'Four.', reasoning: 'Hm, well.', calls: 0 });
        const thinking = thought.renders.filter((/** @type {any} */ { text }) => text === '');
        assert.ok(
            thinking.some((/** @type {any} */ { reasoning }) => reasoning !== '' && reasoning !== 'Hm, well.'),
            'the thought came in one piece',
        );
        assert.ok(thought.renders.every((/** @type {any} */ { reasoning }) => 'Hm, well.'.startsWith(reasoning)));

        assert.deepEqual(ran.given, [{ city: 'Oslo' }, { city: 'Bergen' }]);
        assert.deepEqual(ran.calls, ['{"city":"Oslo"}', '{"city":"Bergen"}']);
        assert.deepEqual(
            [ran.run?.text, ran.run?.reasoning, ran.text, ran.same],
            ['Clear.', 'Hm.', 'Well.Clear.', true],
        );
        assert.deepEqual(
            ran.run?.messages.map((/** @type {any} */ { role, content }) => [role, content]),
            [
                ['user', 'How is it?'],
                ['assistant', 'Well.'],
                ['tool', '{"sky":"clear"}'],
                ['assistant', ''],
                ['tool', '{"sky":"clear"}'],
                ['assistant', 'Clear.'],
            ],
        );
        assert.deepEqual(ran.renders.at(-1), { status: 'ready', text: 'Clear.', reasoning: 'Hm.', calls: 2 });
        assert.ok(ran.renders.some((/** @type {any} */ { text, calls }) => text === 'Well.' && calls === 0));
        assert.ok(
            ran.renders.every((/** @type {any} */ { text }) => 'Well.'.startsWith(text) || 'Clear.'.startsWith(text)),
        );

        assert.deepEqual(stopped, [
            ['stop', undefined, true, undefined, '', 1, undefined],
            ['abort', undefined, true, undefined, '', 1, undefined],
            ['another', undefined, true, undefined, 'So.', 0, 'So.'],
            ['leave', undefined, true],
        ]);
        await left(0);
    });

    it('a stream is read once; leaving ends a load, and an answer', async () => {
        started = 0;
        await page.evaluate(async (source) => {
            const { mount, until } = /** @type {any} */ (globalThis);
            mount((await fetch(source)).body);
            await until((/** @type {any} */ { status }) => status === 'ready');
        }, tiny(3));
        await left(1);
        const given = await page.evaluate(
            async ({ question, long }) => {
                const { unmount, until } = /** @type {any} */ (globalThis);
                const going = (await until(() => true)).chat(question, long);
                await until((/** @type {any} */ { status, text }) => status === 'answering' && text !== '');
                unmount();
                return going;
            },
            { question: QUESTION, long: LONG },
        );
        assert.equal(given, undefined);
        await left(0);
        await page.evaluate(async (source) => {
            const { mount, unmount, until } = /** @type {any} */ (globalThis);
            mount(source);
            await until((/** @type {any} */ { progress }) => progress);
            unmount();
        }, tiny(4));
        await left(0);
        assert.equal(started, 2);
    });

    it('docs/react.md: its example answers, and stops', async () => {
        const [, example = ''] = /^```jsx\n([\s\S]*?)^```/m.exec(readFileSync(`${root}docs/react.md`, 'utf8')) ?? [],
            changed = example.replace(/useNibble\('[^']*'/, `useNibble('${tiny(5)}'`);
        assert.notEqual(changed, example);
        const contents = `import { createRoot } from 'react-dom/client'; ${changed}
            createRoot(document.body.appendChild(document.createElement('div'))).render(<Chat />);`;
        bundle('react-docs.js', { stdin: { contents, resolveDir: root, loader: 'jsx' } });
        await page.addScriptTag({ url: `${url()}build/react-docs.js`, type: 'module' });
        await page.click('text=Ask');
        await page.waitForFunction(() => document.querySelector('p')?.textContent);
        await page.waitForSelector('button:text("Ask"):not([disabled])');
        const model = await load(models.tiny, { threads: 1 }),
            { text } = await model.chat('Why is the sky blue?', { maxTokens: 100 });
        await model.dispose();
        assert.equal(await page.textContent('p'), text);
    });
});
