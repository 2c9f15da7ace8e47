/**
 * OpenAI's HTTP calls: what is asked for, the answer, and the form of errors. What answers is `Served`: models in this
 * process (index.js), or those of a server (web/server/).
 */
import { asNibbleError, messageOf } from '../errors.js';
import { headOf } from './answers.js';

/**
 * What answers. names: of the models. single: there is only one, which answers to any name. created: seconds since
 * 1970. shown: what a client is shown of an error within a stream (default: the error).
 * @typedef {object} Served
 * @property {string[]} names
 * @property {boolean} single
 * @property {number} created
 * @property {(error: unknown) => unknown} [shown]
 * @property {(name: string, path: CallPath, body: any, signal: AbortSignal | undefined) => Promise<any>} create that
 *     model's answer in the form of OpenAI's API, or an async iterable of its chunks
 */

/**
 * The paths after /v1/ that are answered by a model.
 * @typedef {'chat/completions' | 'completions' | 'embeddings' | 'rerank'} CallPath
 */

/**
 * pathname: from its "/v1/" on. bytes(): reads the body.
 * @typedef {object} Call
 * @property {string} method
 * @property {string} pathname
 * @property {() => Promise<ArrayBuffer | Uint8Array>} bytes
 * @property {AbortSignal} [signal]
 */

/** A refusal that needs an HTTP status of its own, one of OpenAI's codes, or headers. */
export class HttpError extends Error {
    /**
     * @param {number} status
     * @param {string} message
     * @param {{ code?: string | null, param?: string | null, headers?: Record<string, string> }} [more]
     */
    constructor(status, message, { code = null, param = null, headers = {} } = {}) {
        super(message);
        this.status = status;
        this.code = code;
        this.param = param;
        this.headers = headers;
    }
}

/**
 * @param {Call} call
 * @param {Served} served
 * @returns {Promise<Response>}
 */
export async function respond({ method, pathname, bytes, signal }, served) {
    const [, path = '', name] =
            /^\/v1\/(chat\/completions|completions|embeddings|rerank|models)(?:\/(.+))?$/.exec(pathname) ?? [],
        isList = path === 'models',
        allowed = isList ? 'GET' : 'POST';
    if (path === '' || (name !== undefined && !isList))
        throw new HttpError(
            404,
            'nibble answers /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/rerank and /v1/models, not ' +
                pathname,
        );
    if (method !== allowed)
        throw new HttpError(405, `${pathname} takes ${allowed}, not ${method}`, { headers: { allow: allowed } });
    if (isList) return json(name === undefined ? listOf(served) : entryOf(served, decoded(name)));

    const body = parsed(await bytes()),
        asked = served.single ? served.names[0] : checkName(served, body?.model),
        answer = await served.create(asked, /** @type {CallPath} */ (path), body, signal);
    return Symbol.asyncIterator in answer
        ? events(answer, asked, signal, served.shown)
        : json({ ...answer, model: asked });
}

/** @param {ArrayBuffer | Uint8Array} bytes */
function parsed(bytes) {
    try {
        return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
        throw new HttpError(400, `the body is no JSON in UTF-8: ${messageOf(error)}`);
    }
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
function checkName({ names }, name) {
    if (typeof name === 'string' && names.includes(name)) return name;
    const all = names.map((each) => JSON.stringify(each)).join(', ');
    if (typeof name !== 'string') throw new HttpError(400, `the request must name a model: ${all}`, { param: 'model' });
    throw new HttpError(404, `there is no model ${JSON.stringify(name)}; there is ${all}`, {
        code: 'model_not_found',
        param: 'model',
    });
}

/** @param {Served} served @param {string} id */
function entryOf(served, id) {
    checkName(served, id);
    return { id, object: 'model', created: served.created, owned_by: 'nibble' };
}

/** @param {Served} served */
const listOf = (served) => ({ object: 'list', data: served.names.map((id) => entryOf(served, id)) });

/** The header that names a request. Who takes the request sends it with the answer. */
export const ID_HEADER = 'x-request-id';

export const newRequestId = () => headOf('req', '').id;

/** @param {unknown} body @param {number} [status] @param {Record<string, string>} [headers] */
export const json = (body, status = 200, headers = {}) =>
    new Response(JSON.stringify(body), {
        status,
        headers: { 'content-type': 'application/json', ...headers },
    });

/**
 * Server-sent events. A failure becomes an event, too, as the response's status was sent before.
 * @param {AsyncIterable<object>} chunks
 * @param {string} model its name
 * @param {AbortSignal | undefined} signal
 * @param {Served['shown']} shown
 */
function events(chunks, model, signal, shown = (error) => error) {
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
                send(JSON.stringify(bodyOf(shown(error))));
            }
            controller.close();
        },
        async cancel() {
            await iterator.return?.();
        },
    });
    return new Response(stream, {
        headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' },
    });
}

/** HTTP's status for the codes that are not the server's fault. @type {Record<string, number>} */
const STATUS = {
    NB_ERR_ARGUMENT: 400,
    NB_ERR_UNSUPPORTED: 400,
    NB_ERR_CONTEXT: 400,
    NB_ERR_FORMAT: 400, // a chat template that this request makes too long, or fail
    NB_ERR_STATE: 404, // the model was disposed of; many clients ask again after a 5xx
};

/** @param {unknown} error */
export const statusOf = (error) =>
    error instanceof HttpError ? error.status : (STATUS[asNibbleError(error).code] ?? 500);

/** What OpenAI's clients read of an error. @param {unknown} error */
function bodyOf(error) {
    const {
        message,
        code,
        param = null,
    } = error instanceof HttpError
        ? error
        : /** @type {{ message: string, code: string, param?: string }} */ (asNibbleError(error));
    const isTooLong = code === 'NB_ERR_CONTEXT'; // programs look for OpenAI's code, or for these words
    return {
        error: {
            message: isTooLong ? `more than the maximum context length: ${message}` : message,
            type: statusOf(error) < 500 ? 'invalid_request_error' : 'server_error',
            param,
            code: isTooLong ? 'context_length_exceeded' : code,
        },
    };
}

/**
 * An error as an answer. What says when to ask again may be asked again; anything else would only happen again.
 * @param {unknown} error
 */
export function refusal(error) {
    const headers = error instanceof HttpError ? error.headers : {};
    return json(bodyOf(error), statusOf(error), {
        ...('retry-after' in headers ? {} : { 'x-should-retry': 'false' }),
        ...headers,
    });
}
