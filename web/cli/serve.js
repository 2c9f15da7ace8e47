/** `nibble serve`: answers the clients of OpenAI's API over HTTP. */
import { totalmem } from 'node:os';
import { basename, resolve } from 'node:path';
import { NB_MAX_SEQUENCES } from '../abi.js';
import { adapterName } from '../api/adapters.js';
import { NibbleError } from '../index.js';
import { guardOf, hostNameOf, originOf } from '../server/guard.js';
import { Models } from '../server/models.js';
import { Server } from '../server/server.js';
import { adapterMemory, adaptersOf, open } from './open-model.js';
import { write, writeJson } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('./usage.js').Arguments} Arguments */
/** @typedef {import('./usage.js').Flag} Flag */

const KEY_VARIABLE = 'NIBBLE_API_KEY';

/** @type {Flag[]} */
export const SERVE_FLAGS = [
    {
        name: 'host',
        flag: 'host',
        type: 'text',
        default: '127.0.0.1',
        value: 'ADDRESS',
        help: 'address to listen at; 0.0.0.0 is all of this machine, so that others can ask, too',
    },
    {
        name: 'port',
        flag: 'port',
        type: 'integer',
        min: 0,
        max: 65535,
        default: 8080,
        value: 'N',
        help: '0: any free one',
    },
    {
        name: 'apiKey',
        flag: 'api-key',
        type: 'text',
        value: 'KEY',
        help: `key that clients must send. Other users of this machine can see it here, and not in ${KEY_VARIABLE}`,
    },
    {
        name: 'alias',
        flag: 'alias',
        type: 'texts',
        default: [],
        value: 'NAME',
        help: "name of a model in requests, once for each, in their order (default: the file's or the folder's name)",
    },
    {
        name: 'memory',
        flag: 'memory',
        type: 'bytes',
        value: 'SIZE',
        help:
            'of several models: bytes that they may take together, such as 8GB; what was not used for the longest time ' +
            "is unloaded (default: three quarters of this machine's memory)",
    },
    {
        name: 'parallel',
        flag: 'parallel',
        type: 'integer',
        min: 1,
        max: NB_MAX_SEQUENCES,
        default: 1,
        value: 'N',
        help:
            'requests that a model answers together, by one pass through its weights for all; each has a context of ' +
            'its own, so the KV cache may take N times the memory',
    },
    {
        name: 'cacheSize',
        flag: 'cache',
        type: 'bytes',
        value: 'SIZE',
        help:
            'of each model: bytes, such as 500MB, for conversations besides the last one, so that none of them is ' +
            'evaluated again (default: none)',
    },
    {
        name: 'draft',
        flag: 'draft',
        type: 'texts',
        input: 'model',
        default: [],
        value: 'MODEL',
        help:
            'a smaller model with the same vocabulary, which guesses what the model will say while it answers one ' +
            'request; of several models once for each, in their order, where those that come last may have none',
    },
    {
        name: 'contextShift',
        flag: 'context-shift',
        type: 'switch',
        default: false,
        help:
            'drop the oldest messages or tokens when a text outgrows the context, and move the KV cache, for requests ' +
            'that do not name a context_overflow',
    },
    {
        name: 'queue',
        flag: 'max-queue',
        type: 'integer',
        min: 0,
        max: 1 << 20,
        default: 32,
        value: 'N',
        help: 'requests that may wait for a model; further ones are refused with the status 429',
    },
    {
        name: 'body',
        flag: 'max-body',
        type: 'bytes',
        value: 'SIZE',
        help: "bytes that a request's body may have (default: 4MiB)",
    },
    {
        name: 'timeout',
        flag: 'timeout',
        type: 'integer',
        min: 1,
        max: 1 << 20,
        default: 600,
        value: 'SECONDS',
        help: 'time that one answer may take, without the time that it waited',
    },
    {
        name: 'grace',
        flag: 'grace',
        type: 'integer',
        min: 0,
        max: 1 << 20,
        default: 8, // Docker kills after 10 s
        value: 'SECONDS',
        help: 'time that running requests have to end after Ctrl-C or SIGTERM; a second one ends at once',
    },
    {
        name: 'cors',
        flag: 'cors',
        type: 'texts',
        default: [],
        value: 'ORIGIN',
        help: 'origin of pages that may ask, such as https://example.org, or * for all (may be given several times)',
    },
    {
        name: 'allowHost',
        flag: 'allow-host',
        type: 'texts',
        default: [],
        value: 'NAME',
        help: 'name by which this server may be called, without a port, beside localhost (may be given several times)',
    },
];

const BODY = 4 << 20;

/** @type {import('./usage.js').Command['run']} */
export async function commandServe({ model, others = [], values }, signal) {
    const { host, port, cors, allowHost, body, queue, timeout, grace, contextShift } = values,
        places = [model, ...others],
        names = namesOf(places, values.alias),
        key = keyOf(values.apiKey),
        isLocal = /^(localhost|127\.[\d.]+|::1)$/i.test(host);
    const origins = cors.map(corsOf),
        allowed = allowHost.map(allowedOf);
    // with a key, pages that are led here by another name get nothing
    const hosts = isLocal || key === undefined ? [...allowed, hostNameOf(host) ?? host] : undefined;
    if (values.draft.length > places.length)
        throw new UsageError(`--draft was given ${values.draft.length} times, and there are ${places.length} models`);
    const server = new Server({ guard: guardOf({ hosts, key, origins }), maxBody: body ?? BODY, tell });
    // the address comes first: if it is taken, nobody waits for a model
    const address = await server.listen(host, port).catch((error) => {
        throw new Error(`cannot listen at ${host}, port ${port}: ${WHY_NOT[error.code] ?? error.message}`);
    });
    /** @type {Models | undefined} */
    let models;
    try {
        const offers = [],
            adapters = await Promise.all(
                adaptersOf(values.adapter).map(async ({ source, scale }) => ({
                    name: adapterName(source),
                    scale,
                    bytes: await adapterMemory(source),
                })),
            );
        for (const [i, place] of places.entries()) {
            const draft = values.draft[i],
                openIt = (/** @type {AbortSignal} */ ending, extra = {}) =>
                    open({ model: place, values: { ...values, draft } }, ending, extra),
                { bytes, ...header } = await headerOf(openIt, signal, values),
                more = draft === undefined ? 0 : await draftBytes(draft, values, signal);
            offers.push({ name: names[i], ...header, bytes: bytes + more, adapters, open: openIt });
        }
        const limits = { memory: values.memory ?? (ownMemory() / 4) * 3, queue, timeout: timeout * 1000, contextShift };
        models = new Models(offers, limits, tell);
        await models.load(names[0], signal);
        server.ready(models, places.length === 1);
        if (key === undefined && !isLocal)
            tell('warning', { message: `whoever reaches this address may ask: give a key by ${KEY_VARIABLE}` });
        write(`nibble answers at http://${urlHost(address)}:${address.port}/v1\n`);
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
        tell('stopping', { grace_ms: grace * 1000 });
    } finally {
        await server.close(signal.aborted ? grace * 1000 : 0);
        await models?.close();
    }
    return 0;
}

/** Memory of this machine, or of this container. */
const ownMemory = () => Math.min(totalmem(), process.constrainedMemory?.() || Infinity);

/** A line of the log. @type {import('../server/server.js').Tell} */
const tell = (event, about) => writeJson({ time: new Date().toISOString(), event, ...about }, process.stderr);

/** @type {Record<string, string>} */
const WHY_NOT = {
    EADDRINUSE: 'another program listens there; end it, or give another --port',
    EACCES: 'this user may not; ports from 1024 on are free for all',
    EADDRNOTAVAIL: 'this machine does not have that address; see --host',
    ENOTFOUND: 'that name is not known; see --host',
};

/** @param {import('node:net').AddressInfo} address */
const urlHost = ({ address, family }) => (family === 'IPv6' ? `[${address}]` : address);

/**
 * The names of the models in requests.
 * @param {string[]} places
 * @param {string[]} aliases
 */
function namesOf(places, aliases) {
    if (aliases.length > 0 && aliases.length !== places.length)
        throw new UsageError(`--alias must be given once for each of the ${places.length} models, or not at all`);
    const names = aliases.length > 0 ? aliases : places.map(nameOf),
        twice = names.find((name, i) => names.indexOf(name) < i);
    if (twice !== undefined)
        throw new UsageError(`two models have the name ${JSON.stringify(twice)}: give each one an --alias`);
    return names;
}

/** @param {string} place */
function nameOf(place) {
    const [, path] = /^(?:hf:|[a-z]+:\/\/)([^?#]*)/i.exec(place) ?? [];
    return basename(path ?? resolve(place)).replace(/\.gguf$/i, '');
}

/** @param {string | undefined} given */
function keyOf(given) {
    const key = given ?? process.env[KEY_VARIABLE];
    if (key !== undefined && !/^[\x21-\x7e]+$/.test(key))
        throw new UsageError(
            `${given === undefined ? KEY_VARIABLE : '--api-key'} must be visible characters of ASCII, without spaces`,
        );
    return key;
}

/** @param {string} text */
function corsOf(text) {
    const origin = text === '*' ? text : originOf(text);
    if (origin === undefined)
        throw new UsageError(
            '--cors must be the origin of pages, which has no path and no pattern, such as https://example.org, or ' +
                `* for all, not ${JSON.stringify(text)}`,
        );
    return origin;
}

/** @param {string} text */
function allowedOf(text) {
    const name = hostNameOf(text);
    if (name === undefined)
        throw new UsageError(
            '--allow-host must be a name alone, without a port, a path or a pattern, such as my.server, not ' +
                JSON.stringify(text),
        );
    return name;
}

/**
 * The memory that a draft model will take. It answers one request, and its context is not longer than its own.
 * @param {string} place
 * @param {Record<string, any>} values
 * @param {AbortSignal} signal
 */
export async function draftBytes(place, { threads, contextLength, kvType, build }, signal) {
    const bytesAt = async (/** @type {number | undefined} */ contextLength) => {
        const openIt = (/** @type {AbortSignal} */ ending, /** @type {object} */ extra) =>
            open({ model: place, values: { threads, contextLength, kvType, build } }, ending, extra);
        return headerOf(openIt, signal, {});
    };
    const { info, bytes } = await bytesAt(contextLength);
    return info.context && contextLength > info.context ? (await bytesAt(info.context)).bytes : bytes;
}

/**
 * What a model's header says. bytes: the memory that it will take: its weights, its KV cache, and its buffers. cache:
 * what conversations may take in addition.
 * @param {(signal: AbortSignal, extra: object) => ReturnType<typeof open>} openIt
 * @param {AbortSignal} signal
 * @param {Record<string, any>} values
 */
async function headerOf(openIt, signal, { contextLength, cacheSize = 0, parallel = 1 }) {
    const header = await openIt(signal, { headerOnly: true }),
        { info } = header,
        { types, context = 4096, kvBytesPerToken = 0, sessionBytes, unsupported } = info;
    await header.dispose();
    if (unsupported !== undefined) throw new NibbleError('NB_ERR_UNSUPPORTED', unsupported);
    const tokens = contextLength ?? Math.min(context || 4096, 4096),
        goesOn = !info.encoder && info.causal !== false,
        sequences = goesOn && info.embedding ? parallel : 1;
    return {
        info,
        // of models of integers the engine knows no session
        bytes:
            types.reduce((sum, { bytes }) => sum + bytes, 0) + (sessionBytes || tokens * kvBytesPerToken * sequences),
        parallel: sequences,
        cache: goesOn ? cacheSize : 0, // only conversations are kept
    };
}
