// The app that every bundler builds: it asks the tiny model, and writes the answer or the error into the page.
import { load } from 'nibble-llm';

/** @param {string | URL} source */
export async function answer(source) {
    const model = await load(source, { threads: 2 });
    const { text } = await model.chat([{ role: 'user', content: 'Tell me a story.' }], {
        maxTokens: 8,
        temperature: 0,
    });
    await model.dispose();
    return `${model.info.threads} threads: ${text}`;
}

const told = (/** @type {any} */ error) => `${error.name} ${error.code} ${error.message}`;
if (globalThis.document)
    answer(new URL('/tiny.gguf', location.href))
        .catch(told)
        .then((text) => {
            document.body.dataset.answer = text;
        });
else if (globalThis.process?.argv[2]) answer(globalThis.process.argv[2]).catch(told).then(console.log);
