/**
 * The server: HTTP by Node, around the calls of web/openai. It knows connections, routes and the log; models.js knows
 * the models, guard.js who may ask.
 */
import { createServer, STATUS_CODES } from 'node:http';
import { messageOf, NibbleError } from '../errors.js';
import { Count } from '../openai/answers.js';
import { HttpError, ID_HEADER, json, newRequestId, refusal, respond, statusOf } from '../openai/respond.js';
import { readBody } from './body.js';
import { Metrics } from './metrics.js';
import { send } from './send.js';

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */
/** @typedef {import('node:http').ServerResponse} ServerResponse */
/** @typedef {import('node:net').Socket} Socket */
/** @typedef {(event: string, about: Record<string, unknown>) => void} Tell */

/**
 * maxBody: bytes of a request's body. tell: gets the events of the log. node: options of Node's server, such as its
 * time limits. stall: ms that a reader may read nothing. connections: at a time; further ones are closed.
 * @typedef {{ guard: ReturnType<typeof import('./guard.js').guardOf>, maxBody: number, tell: Tell,
 *     node?: import('node:http').ServerOptions, stall?: number, connections?: number }} Options
 */

/** Connections at a time: each may hold a body in memory. */
const CONNECTIONS = 512;

/** ms between two lines of the log about connections that were closed at once: one for each could fill a disk. */
const DROPS = 10_000;

/** Node closes connections whose headers or bodies take longer than this. */
const TIMES = { headersTimeout: 10_000, requestTimeout: 60_000, connectionsCheckingInterval: 1000 };

/** A client that is cut off, with its machine or its network, does not close its connection: TCP finds out. */
const PROBES = { keepAlive: true, keepAliveInitialDelay: 30_000 };

/** The paths that the metrics tell apart. */
const PATHS = [
    '/health',
    '/metrics',
    '/lora-adapters',
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/embeddings',
    '/v1/rerank',
    '/v1/models',
];

/** Those that are not OpenAI's. */
const OWN_PATHS = ['/health', '/metrics', '/lora-adapters'];

/** x-accel-buffering: nginx passes the pieces of a stream on as they come. */
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-accel-buffering': 'no' };

/** @param {string} state */
const notReady = (state) =>
    new HttpError(503, `the server is ${state}`, { code: 'unavailable', headers: { 'retry-after': '1' } });

/**
 * A request on its way. id, account: for the log. holds: its client keeps the body back until it is asked for. status:
 * of an answer that Node does not know of.
 * @typedef {{ id: string, controller: AbortController, request: IncomingMessage, response: ServerResponse,
 *     account: import('./models.js').Account, holds: boolean, status?: number }} Flight
 */

/**
 * flights: requests that are not answered. last: that which came last.
 * @typedef {{ flights: Set<Flight>, last?: Flight }} Connection
 */

export class Server {
    #options;
    #metrics = new Metrics();
    #server;
    /** @type {{ models: import('./models.js').Models, single: boolean } | undefined} */
    #served;
    #created = Math.floor(Date.now() / 1000);
    /** @type {'starting' | 'ready' | 'stopping'} */
    #state = 'starting';
    /** @type {Map<Socket, Connection>} */
    #connections = new Map();
    /** Connections that were closed at once, since the last line about that, and when it was. */
    #dropped = { count: 0, toldAt: -Infinity };

    /** @param {Options} options */
    constructor(options) {
        this.#options = options;
        // Node's own answers would not be in the log, so that it must leave all to this server
        this.#server = createServer({ ...TIMES, ...PROBES, requireHostHeader: false, ...options.node });
        this.#server.maxConnections = options.connections ?? CONNECTIONS;
        this.#server
            .on('request', (request, response) => void this.#handle(request, response))
            .on('checkContinue', (request, response) => void this.#handle(request, response, true))
            .on('checkExpectation', (request, response) => void this.#handle(request, response, true, unmet()))
            .on('connect', (request, socket) => this.#refuseTunnel(request, /** @type {Socket} */ (socket)))
            .on('connection', (socket) => this.#attend(socket))
            .on('drop', () => this.#drop())
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
        for (const [socket, { flights }] of this.#connections) if (flights.size === 0) socket.destroy();
        await closed;
        clearTimeout(timer);
    }

    /** With HTTP/1.1 a client can only cancel by closing the connection. @param {Socket} socket */
    #attend(socket) {
        /** @type {Connection} */
        const connection = { flights: new Set() };
        this.#connections.set(socket, connection);
        socket.on('close', () => {
            for (const { controller } of connection.flights) controller.abort(new HttpError(499, 'the client left'));
            this.#connections.delete(socket);
        });
    }

    /**
     * @param {IncomingMessage} request
     * @param {ServerResponse} response
     * @param {boolean} [holds] the client keeps the body back until it is asked for
     * @param {HttpError} [refused] why it is refused in any case
     */
    async #handle(request, response, holds = false, refused) {
        const began = performance.now(),
            controller = new AbortController(),
            connection = this.#connections.get(request.socket) ?? /** @type {Connection} */ ({ flights: new Set() }),
            { flights } = connection,
            id = newRequestId(),
            path = pathOf(request.url);
        /** @type {import('./models.js').Account} */
        const account = { count: new Count() },
            /** @type {Flight} */
            flight = { id, controller, request, response, account, holds };
        flights.add(flight);
        connection.last = flight;
        try {
            const answer = await this.#answer(flight, path, refused).catch((error) => {
                account.code ??= error.code ?? (error instanceof HttpError ? undefined : error.name);
                return controller.signal.aborted ? undefined : refusal(this.#shown(id, error));
            });
            if (!answer || controller.signal.aborted) return;
            const headers = {
                ...HEADERS,
                ...this.#options.guard.originHeaders(request),
                [ID_HEADER]: id,
                // a client that keeps the body back may never send it: what comes next would be taken for the body
                ...(this.#state === 'stopping' || flight.holds ? { connection: 'close' } : {}),
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
            this.#report({
                id,
                method: request.method,
                path,
                status: flight.status ?? (response.headersSent ? response.statusCode : 499),
                seconds: (performance.now() - began) / 1000,
                account,
                isWhole: flight.status !== undefined || response.writableFinished,
            });
        }
    }

    /**
     * @param {Flight} flight
     * @param {string | undefined} path
     * @param {HttpError} [refused]
     * @returns {Promise<Response>}
     */
    async #answer(flight, path, refused) {
        const { request, response, account } = flight,
            { signal } = flight.controller,
            { guard, maxBody } = this.#options,
            method = request.method ?? '';
        if (refused) throw refused;
        if (request.headers.host === undefined && request.httpVersion !== '1.0')
            throw new HttpError(400, 'the request must have the header Host');
        guard.checkHost(request);
        if (path === undefined) throw new HttpError(400, 'the address of a request must begin with "/"');
        if (method === 'OPTIONS') return guard.preflight(request);
        if (path !== '/health') guard.checkKey(request);
        if (this.#state !== 'ready' || !this.#served) throw notReady(this.#state);
        const { models, single } = this.#served;
        if (OWN_PATHS.includes(path)) {
            if (method !== 'GET' && method !== 'HEAD')
                throw new HttpError(405, `${path} takes GET, not ${method}`, { headers: { allow: 'GET, HEAD' } });
            if (path === '/health') return json({ status: 'ok' });
            if (path === '/lora-adapters') return json(models.adapters);
            return new Response(this.#metrics.text(models.states), {
                headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
            });
        }
        const ask = () => {
            if (flight.holds) response.writeContinue();
            flight.holds = false;
        };
        return respond(
            { method, pathname: path, bytes: () => readBody(request, ask, maxBody), signal },
            {
                names: models.names,
                single,
                shown: (error) => this.#shown(flight.id, error),
                created: this.#created,
                create: (name, call, body) => models.create(name, call, body, signal, account),
            },
        );
    }

    /**
     * What a client is shown of an error. What nobody expected may tell of this machine, so it is for the log.
     * @param {string} id
     * @param {unknown} error
     */
    #shown(id, error) {
        if (error instanceof HttpError || statusOf(error) < 500) return error;
        const { code, stack } = /** @type {NibbleError} */ (error),
            isKnown = error instanceof NibbleError; // whose message says where it comes from
        this.#options.tell('error', { id, code, message: messageOf(error), stack: isKnown ? undefined : stack });
        return new HttpError(500, `nibble failed; the log of the server says why, with the id ${id}`, {
            code: isKnown ? code : null,
        });
    }

    /**
     * A line of the log, without what was asked and answered.
     * @param {{ id: string, method?: string, path?: string, status: number, seconds?: number,
     *     account?: import('./models.js').Account, isWhole?: boolean }} request isWhole: the answer was sent to its end
     */
    #report({ id, method, path, status, seconds = 0, account = { count: new Count() }, isWhole = true }) {
        const { count, model, waited, code } = account,
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

    /** A connection was closed at once, because there are too many. */
    #drop() {
        this.#metrics.dropped++;
        this.#dropped.count++;
        if (performance.now() < this.#dropped.toldAt + DROPS) return;
        this.#options.tell('dropped', { connections: this.#dropped.count, limit: this.#server.maxConnections });
        this.#dropped = { count: 0, toldAt: performance.now() };
    }

    /**
     * Answers what is no HTTP, or took too long, and closes the connection.
     * @param {NodeJS.ErrnoException} error
     * @param {Socket} socket
     */
    #refuse(error, socket) {
        const { flights, last } = this.#connections.get(socket) ?? { flights: new Set() },
            [flight, ...more] = flights;
        for (const { account } of flights) account.code ??= error.code;
        // a request gets one answer. If that is on its way, or came before the request was whole, there is no other
        const isAnswered = flight
            ? more.length > 0 || flight.request.complete || flight.response.headersSent
            : last && !last.request.complete;
        if (!socket.writable || isAnswered) return void socket.destroy();
        const [status, message] =
            error.code === 'HPE_HEADER_OVERFLOW'
                ? [431, 'the headers are too large']
                : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
                  ? [408, 'the request took too long to arrive']
                  : [400, 'this is no HTTP/1.1'];
        const id = flight?.id ?? newRequestId();
        answerRaw(socket, id, new HttpError(status, message));
        if (!flight) return this.#report({ id, status, account: { count: new Count(), code: error.code } });
        flight.status = status;
        flight.controller.abort(); // what came of it is not waited for
    }

    /** A client takes this server for a proxy. @param {IncomingMessage} request @param {Socket} socket */
    #refuseTunnel({ method }, socket) {
        if (this.#connections.get(socket)?.flights.size) return void socket.destroy();
        const id = newRequestId(),
            error = new HttpError(405, 'this server is no proxy', { headers: { allow: 'GET, HEAD, POST, OPTIONS' } });
        answerRaw(socket, id, error);
        this.#report({ id, method, status: error.status });
    }
}

/** An Expect that is none of HTTP's. */
const unmet = () => new HttpError(417, 'the header Expect may only be 100-continue: leave it out');

/**
 * Writes an answer where Node has none to write to, and closes the connection.
 * @param {Socket} socket
 * @param {string} id
 * @param {HttpError} error
 */
function answerRaw(socket, id, { status, message, headers }) {
    const body = JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } });
    const all = {
        'content-type': 'application/json',
        'content-length': body.length,
        connection: 'close',
        [ID_HEADER]: id,
        ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
    socket.destroySoon();
}

/** The path of a request's target; undefined if it is no path. @param {string} [target] */
function pathOf(target = '') {
    return target.startsWith('/') ? target.split(/[?#]/, 1)[0] : undefined;
}
