// A worker of worker.html. Import maps do not reach into workers, so the URL is written out here; with a
// bundler, import 'nibble-llm'.
import { load } from '../web/index.js';

/** @type {Promise<import('../web/index.d.ts').Model> | undefined} */
let loading;

/** @param {{ data: { load?: string, question?: string } }} message */
async function receive({ data }) {
    try {
        if (data.load) {
            loading = load(data.load);
            await loading;
            postMessage({ status: 'ready', isReady: true });
        } else if (data.question) {
            const model = await loading;
            if (!model) throw new Error('load a model first');
            postMessage({ status: 'answering' });
            const generation = model.chat(data.question, { maxTokens: 64 });
            for await (const text of generation) postMessage({ text });
            const { tokens, finishReason } = await generation;
            postMessage({ status: `${tokens.length} tokens, ended by ${finishReason}`, isReady: true });
        }
    } catch (error) {
        const status = error instanceof Error ? error.message : String(error);
        postMessage({ status, isReady: !data.load }); // such as a question that is too long
    }
}

addEventListener('message', receive);
