/**
 * The server: HTTP by Node, around the calls of web/openai. It knows connections, routes and the log; models.js knows
 * the models, guard.js who may ask.
 */
import { createServer } from 'node:http';
import { Count } from '../openai/answers.js';
import { HttpError, ID_HEADER, json, newRequestId, refusal, respond } from '../openai/respond.js';
import { readBody } from './body.js';
import { Metrics } from './metrics.js';
import { send } from './send.js';

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */
/** @typedef {import('node:http').ServerResponse} ServerResponse */
/** @typedef {import('node:net').Socket} Socket */
/** @typedef {(event: string, about: Record<string, unknown>) => void} Tell */

/**
 * maxBody: bytes of a request's body. tell: gets the events of the log. node: options of Node's server, such as its time
 * limits. stall: ms that a reader may read nothing.
 * @typedef {{ guard: ReturnType<typeof import('./guard.js').guardOf>, maxBody: number, tell: Tell,
 *     node?: import('node:http').ServerOptions, stall?: number }} Options
 */

/** Connections at a time; further ones are closed. Each may hold a body in memory. */
const CONNECTIONS = 512;

/** Node closes connections whose headers or bodies take longer than this. */
const TIMES = { headersTimeout: 10_000, requestTimeout: 60_000, connectionsCheckingInterval: 1000 };

/** The paths that the metrics tell apart. */
const PATHS = ['/health', '/metrics', '/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/models'];

/** x-accel-buffering: nginx passes the pieces of a stream on as they come. */
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-accel-buffering': 'no' };

/** @param {string} state */
const notReady = (state) =>
    new HttpError(503, `the server is ${state}`, { code: 'unavailable', headers: { 'retry-after': '1' } });

/** A request on its way. @typedef {{ controller: AbortController, request: IncomingMessage, response: ServerResponse }} Flight */

export class Server {
    #options;
    #metrics = new Metrics();
    #server;
    /** @type {{ models: import('./models.js').Models, single: boolean } | undefined} */
    #served;
    #created = Math.floor(Date.now() / 1000);
    /** @type {'starting' | 'ready' | 'stopping'} */
    #state = 'starting';
    /** The connections, each with its requests. @type {Map<Socket, Set<Flight>>} */
    #flights = new Map();

    /** @param {Options} options */
    constructor(options) {
        this.#options = options;
        this.#server = createServer({ ...TIMES, ...options.node });
        this.#server.maxConnections = CONNECTIONS;
        const handle = (/** @type {IncomingMessage} */ request, /** @type {ServerResponse} */ response) =>
            void this.#handle(request, response);
        this.#server
            .on('request', handle)
            .on('checkContinue', handle) // the body is asked for when it is clear that it will be read
            .on('connection', (socket) => this.#attend(socket))
            .on('clientError', (error, socket) => this.#refuse(error, /** @type {Socket} */ (socket)));
    }

    /**
     * Takes the address. Until ready() all answers are 503.
     * @param {string} host
     * @param {number} port 0: any that is free
     * @returns {Promise<import('node:net').AddressInfo>}
     */
    listen(host, port) {
        return new Promise((resolve, reject) => {
            this.#server.once('error', reject).listen({ host, port }, () => {
                // such as no more file descriptors: those who are connected are still answered
                this.#server
                    .off('error', reject)
                    .on('error', ({ message }) => this.#options.tell('error', { message }));
                resolve(/** @type {import('node:net').AddressInfo} */ (this.#server.address()));
            });
        });
    }

    /**
     * @param {import('./models.js').Models} models what answers
     * @param {boolean} single whether there is one model, which answers to any name
     */
    ready(models, single) {
        this.#served = { models, single };
        this.#state = 'ready';
    }

    /**
     * Takes no more requests, and waits for those that are on their way.
     * @param {number} grace ms; what is not over then is cut
     */
    async close(grace) {
        this.#state = 'stopping';
        const closed = new Promise((resolve) => this.#server.close(resolve));
        const timer = setTimeout(() => this.#server.closeAllConnections(), grace);
        // Node counts a connection that has not sent anything yet as busy
        for (const [socket, flights] of this.#flights) if (flights.size === 0) socket.destroy();
        await closed;
        clearTimeout(timer);
    }

    /** With HTTP/1.1 a client can only cancel by closing the connection. @param {Socket} socket */
    #attend(socket) {
        /** @type {Set<Flight>} */
        const flights = new Set();
        this.#flights.set(socket, flights);
        socket.on('close', () => {
            for (const { controller } of flights) controller.abort(new HttpError(499, 'the client left'));
            this.#flights.delete(socket);
        });
    }

    /** @param {IncomingMessage} request @param {ServerResponse} response */
    async #handle(request, response) {
        const began = performance.now(),
            controller = new AbortController(),
            flights = this.#flights.get(request.socket) ?? new Set(),
            flight = { controller, request, response },
            id = newRequestId();
        /** @type {import('./models.js').Account} */
        const account = { count: new Count() };
        const path = pathOf(request.url);
        flights.add(flight);
        try {
            const answer = await this.#answer(request, response, path, controller.signal, account).catch((error) => {
                account.code ??= error.code ?? (error instanceof HttpError ? undefined : error.name);
                return refusal(error);
            });
            if (controller.signal.aborted) return;
            const headers = {
                ...HEADERS,
                ...this.#options.guard.originHeaders(request),
                [ID_HEADER]: id,
                ...(this.#state === 'stopping' ? { connection: 'close' } : {}),
            };
            await send(answer, response, headers, controller.signal, this.#options.stall);
        } catch (error) {
            // the answer could not be sent to its end
            if (!controller.signal.aborted) account.code ??= String(/** @type {any} */ (error)?.code ?? error);
            response.destroy();
        } finally {
            flights.delete(flight);
            controller.abort(); // whatever happened, nothing goes on
            if (this.#state === 'stopping' && flights.size === 0) request.socket.destroySoon();
            this.#report(request, response, id, path, (performance.now() - began) / 1000, account);
        }
    }

    /**
     * @param {IncomingMessage} request
     * @param {ServerResponse} response
     * @param {string | undefined} path
     * @param {AbortSignal} signal
     * @param {import('./models.js').Account} account
     * @returns {Promise<Response>}
     */
    async #answer(request, response, path, signal, account) {
        const { guard, maxBody } = this.#options,
            method = request.method ?? '';
        guard.checkHost(request);
        if (path === undefined) throw new HttpError(400, 'the address of a request must begin with "/"');
        if (method === 'OPTIONS') return guard.preflight(request);
        if (path !== '/health') guard.checkKey(request);
        if (this.#state !== 'ready' || !this.#served) throw notReady(this.#state);
        const { models, single } = this.#served;
        if (path === '/health' || path === '/metrics') {
            if (method !== 'GET' && method !== 'HEAD')
                throw new HttpError(405, `${path} takes GET, not ${method}`, { headers: { allow: 'GET, HEAD' } });
            if (path === '/health') return json({ status: 'ok' });
            return new Response(this.#metrics.text(models.states), {
                headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
            });
        }
        return respond(
            { method, pathname: path, bytes: () => readBody(request, response, maxBody), signal },
            {
                names: models.names,
                single,
                created: this.#created,
                create: (name, call, body) => models.create(name, call, body, signal, account),
            },
        );
    }

    /**
     * A line of the log, without what was asked and answered.
     * @param {IncomingMessage} request
     * @param {ServerResponse} response
     * @param {string} id
     * @param {string | undefined} path
     * @param {number} seconds
     * @param {import('./models.js').Account} account
     */
    #report({ method }, response, id, path, seconds, { count, model, waited, code }) {
        const isWhole = response.writableFinished,
            status = response.headersSent ? response.statusCode : 499,
            usage = count.usage();
        this.#options.tell('request', {
            id,
            method,
            path: path?.slice(0, 100),
            status,
            ms: Math.round(seconds * 1000),
            ...(model === undefined
                ? {}
                : {
                      model,
                      waited_ms: waited === undefined ? undefined : Math.round(waited),
                      prompt_tokens: usage.prompt_tokens,
                      completion_tokens: usage.completion_tokens,
                  }),
            code,
            aborted: isWhole ? undefined : true,
        });
        const known = PATHS.find((each) => each === path || (each === '/v1/models' && path?.startsWith(`${each}/`)));
        this.#metrics.add({ path: known ?? 'other', status, seconds, model, usage });
    }

    /**
     * Answers what is no HTTP, or took too long, and closes the connection.
     * @param {NodeJS.ErrnoException} error
     * @param {Socket} socket
     */
    #refuse(error, socket) {
        const [flight, ...more] = this.#flights.get(socket) ?? [],
            isAnswered = flight && (flight.request.complete || flight.response.headersSent);
        // an answer that is on its way would be taken for this one
        if (!socket.writable || isAnswered || more.length > 0) return void socket.destroy();
        const [status, reason, message] =
            error.code === 'HPE_HEADER_OVERFLOW'
                ? [431, 'Request Header Fields Too Large', 'the headers are too large']
                : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
                  ? [408, 'Request Timeout', 'the request took too long to arrive']
                  : [400, 'Bad Request', 'this is no HTTP/1.1'];
        const body = JSON.stringify({
            error: { message, type: 'invalid_request_error', param: null, code: null },
        });
        socket.write(
            `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json\r\n` +
                `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
        );
        socket.destroySoon();
    }
}

/** The path of a request's target; undefined if it is no path. @param {string} [target] */
function pathOf(target = '') {
    return target.startsWith('/') ? target.split(/[?#]/, 1)[0] : undefined;
}
