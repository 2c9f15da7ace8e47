/**
 * nibble-llm/openai: a `fetch` that answers OpenAI's HTTP calls by loaded models, without a network. index.d.ts says
 * how it is used.
 */
import { rerankings } from './create.js';
import { namedModels } from './models.js';
import { ID_HEADER, newRequestId, refusal, respond } from './respond.js';

/** @typedef {import('../index.d.ts').Model} Model */

/** The functions that answer a POST. @type {Record<string, (model: Model) => { create: Function }>} */
const CALLS = {
    'chat/completions': (model) => model.chat.completions,
    completions: (model) => model.completions,
    embeddings: (model) => model.embeddings,
    rerank: (model) => rerankings(model),
};

/**
 * The body of a request. One that is still to come is given up when the request is aborted: its stream is cancelled.
 * @param {Request} request
 * @param {AbortSignal | undefined} signal
 */
async function bytesOf(request, signal) {
    if (!request.body) return request.arrayBuffer(); // Firefox takes no streams, and has no such member
    const own = new AbortController(), // the signal may be of another realm
        abort = () => own.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
        const bytes = request.body.pipeThrough(new TransformStream(), { signal: own.signal });
        return await new Response(bytes).arrayBuffer();
    } finally {
        signal?.removeEventListener('abort', abort);
    }
}

/** @type {typeof import('./index.d.ts').openaiFetch} */
export function openaiFetch(models) {
    const created = Math.floor(Date.now() / 1000),
        { all, single } = namedModels('openaiFetch()', models);
    /** @type {import('./respond.js').Served} */
    const served = {
        names: Object.keys(all),
        single,
        created,
        create: (name, path, body, signal) => CALLS[path](all[name]).create(body, { signal }),
    };
    /** @type {typeof fetch} */
    const own = async (input, init) => {
        /** @type {AbortSignal | undefined} */
        const signal = init?.signal ?? /** @type {any} */ (input).signal; // a text and a URL have none
        signal?.throwIfAborted();
        const request = new Request(input, { ...init, signal: null }),
            path = new URL(request.url).pathname;
        const answer = await respond(
            {
                method: request.method,
                pathname: path.replace(/^.*?(?=\/v1\/(?:chat|completions|embeddings|rerank|models)\b)/, ''), // of any base URL
                bytes: () => bytesOf(request, signal),
                signal,
            },
            served,
        ).catch((error) => {
            signal?.throwIfAborted();
            return refusal(error);
        });
        answer.headers.set(ID_HEADER, newRequestId());
        return answer;
    };
    return own;
}
