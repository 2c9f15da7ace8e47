/**
 * nibble-llm/openai: a `fetch` that answers OpenAI's HTTP calls by loaded models, without a network. index.d.ts says
 * how it is used.
 */
import { asNibbleError, NibbleError } from '../errors.js';
import { headOf } from './answers.js';
import { nameOf } from './create.js';

/** @typedef {import('../index.d.ts').Model} Model */

/**
 * A model's `chat` is a function. In an object of models "chat" may be the name of a model, which is no function.
 * @param {any} value
 * @returns {value is Model}
 */
const isModel = (value) => typeof value?.chat === 'function' && typeof value.chat.completions?.create === 'function';

/** @type {typeof import('./index.d.ts').openaiFetch} */
export function openaiFetch(models) {
    const created = Math.floor(Date.now() / 1000),
        served = isModel(models) ? { [nameOf(models)]: models } : { ...models };
    if (Object.keys(served).length === 0 || !Object.values(served).every(isModel))
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            'openaiFetch(): give it a loaded model, or an object of names and loaded models',
        );
    /** @type {Served} */
    const all = { models: served, single: isModel(models), created };
    /** @type {typeof fetch} */
    const own = async (input, init) => {
        /** @type {AbortSignal | undefined} */
        const signal = init?.signal ?? /** @type {any} */ (input).signal; // a text and a URL have none
        signal?.throwIfAborted();
        const request = new Request(input, { ...init, signal: null });
        try {
            return await respond(request, all, signal);
        } catch (error) {
            signal?.throwIfAborted();
            return refusal(error);
        }
    };
    return own;
}

/**
 * The models by their names. single: there is only one, which answers to any name. created: seconds since 1970.
 * @typedef {{ models: Record<string, Model>, single: boolean, created: number }} Served
 */

/** What is wrong with a call, apart from its request. */
class HttpError extends Error {
    /** @param {number} status @param {string} message @param {string | null} [code] @param {string | null} [param] */
    constructor(status, message, code = null, param = null) {
        super(message);
        this.status = status;
        this.code = code;
        this.param = param;
    }
}

/** The functions that answer a POST. @type {Record<string, (model: Model) => { create: Function }>} */
const CALLS = {
    'chat/completions': (model) => model.chat.completions,
    completions: (model) => model.completions,
    embeddings: (model) => model.embeddings,
};

/**
 * @param {Request} request
 * @param {Served} served
 * @param {AbortSignal | undefined} signal
 */
async function respond(request, served, signal) {
    const { method } = request,
        { pathname } = new URL(request.url),
        [, path = '', name] =
            /\/v1\/(chat\/completions|completions|embeddings|models)(?:\/(.+))?$/.exec(pathname) ?? [],
        isList = path === 'models';
    if (path === '' || (name !== undefined && !isList))
        throw new HttpError(
            404,
            `nibble answers /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/models, not ${pathname}`,
        );
    if (method !== (isList ? 'GET' : 'POST'))
        throw new HttpError(405, `${pathname} takes ${isList ? 'GET' : 'POST'}, not ${method}`);
    if (isList) return json(name === undefined ? listOf(served) : entryOf(served, decoded(name)));

    /** @type {any} */
    const body = await request.json().catch((error) => {
        throw new HttpError(400, `the body is no JSON: ${error.message}`);
    });
    const asked = served.single ? Object.keys(served.models)[0] : body?.model,
        answer = await CALLS[path](modelOf(served, asked)).create(body, { signal });
    return Symbol.asyncIterator in answer ? events(answer, asked, signal) : json({ ...answer, model: asked });
}

/** @param {string} part of a path */
function decoded(part) {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}

/** @param {Served} served @param {unknown} name */
function modelOf({ models }, name) {
    if (typeof name === 'string' && Object.hasOwn(models, name)) return models[name];
    const names = Object.keys(models)
        .map((each) => JSON.stringify(each))
        .join(', ');
    if (typeof name !== 'string') throw new HttpError(400, `the request must name a model: ${names}`, null, 'model');
    throw new HttpError(
        404,
        `there is no model ${JSON.stringify(name)}; there is ${names}`,
        'model_not_found',
        'model',
    );
}

/** @param {Served} served @param {string} id */
function entryOf(served, id) {
    modelOf(served, id);
    return { id, object: 'model', created: served.created, owned_by: 'nibble' };
}

/** @param {Served} served */
const listOf = (served) => ({ object: 'list', data: Object.keys(served.models).map((id) => entryOf(served, id)) });

const requestId = () => ({ 'x-request-id': headOf('req', '').id });

/** @param {unknown} body @param {number} [status] @param {Record<string, string>} [headers] */
const json = (body, status = 200, headers = {}) =>
    new Response(JSON.stringify(body), {
        status,
        headers: { 'content-type': 'application/json', ...requestId(), ...headers },
    });

/**
 * Server-sent events. What fails after the first of them is one, too.
 * @param {AsyncIterable<object>} chunks
 * @param {string} model its name
 * @param {AbortSignal | undefined} signal
 */
function events(chunks, model, signal) {
    const encoder = new TextEncoder(),
        iterator = chunks[Symbol.asyncIterator]();
    const stream = new ReadableStream({
        async pull(controller) {
            const send = (/** @type {string} */ data) => controller.enqueue(encoder.encode(`data: ${data}\n\n`));
            try {
                const { done, value } = await iterator.next();
                signal?.throwIfAborted(); // as fetch does, though there may be more text already
                if (!done) return send(JSON.stringify({ ...value, model }));
                send('[DONE]');
            } catch (error) {
                if (signal?.aborted) {
                    controller.error(signal.reason);
                    await iterator.return?.();
                    return;
                }
                send(JSON.stringify(bodyOf(error)));
            }
            controller.close();
        },
        async cancel() {
            await iterator.return?.();
        },
    });
    return new Response(stream, {
        headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', ...requestId() },
    });
}

/** HTTP's status for the codes that are not the server's fault. @type {Record<string, number>} */
const STATUS = {
    NB_ERR_ARGUMENT: 400,
    NB_ERR_UNSUPPORTED: 400,
    NB_ERR_CONTEXT: 400,
    NB_ERR_STATE: 404, // the model was disposed of; many clients ask again after a 5xx
};

/** @param {unknown} error */
const statusOf = (error) => (error instanceof HttpError ? error.status : (STATUS[asNibbleError(error).code] ?? 500));

/** What OpenAI's clients read of an error. @param {unknown} error */
function bodyOf(error) {
    const {
        message,
        code,
        param = null,
    } = error instanceof HttpError
        ? error
        : /** @type {{ message: string, code: string, param?: string }} */ (asNibbleError(error));
    const isTooLong = code === 'NB_ERR_CONTEXT'; // programs look for its code, or for these words
    return {
        error: {
            message: isTooLong ? `more than the maximum context length: ${message}` : message,
            type: statusOf(error) < 500 ? 'invalid_request_error' : 'server_error',
            param,
            code: isTooLong ? 'context_length_exceeded' : code,
        },
    };
}

/** @param {unknown} error */
const refusal = (error) => json(bodyOf(error), statusOf(error), { 'x-should-retry': 'false' }); // the same would happen again
