/** Who may ask: the names of this server, the key, and pages of other origins. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { HttpError, ID_HEADER } from '../openai/respond.js';

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */

/**
 * hosts: names by which clients may call this server, beside localhost and addresses; undefined: any. key: what clients
 * must know. origins: pages that may ask, "*" for all of them.
 * @typedef {{ hosts?: string[], key?: string, origins: string[] }} Rules
 */

/** Digests have one length, and their comparison takes the same time wherever they differ. @param {string} text */
const digest = (text) => createHash('sha256').update(text).digest();

/** @param {Rules} rules */
export function guardOf({ hosts, key, origins }) {
    const wanted = key === undefined ? undefined : digest(key),
        names = hosts?.map((name) => name.toLowerCase());
    return {
        /**
         * A page whose name leads to this machine could ask as if it were of this server (DNS rebinding). Its name is
         * in the Host header, so only known names may be there. An address is no name that could lead elsewhere.
         * @param {IncomingMessage} request
         */
        checkHost({ headers: { host = '' } }) {
            const [, name = ''] = /^(\[[^\]]*\]|[^:]*?)\.?(?::\d+)?$/.exec(host.toLowerCase()) ?? [],
                isKnown =
                    isIP(name.replace(/^\[|\]$/g, '')) > 0 || /^(.+\.)?localhost$/.test(name) || names?.includes(name);
            if (names && !isKnown)
                throw new HttpError(
                    403,
                    `this server is not called ${JSON.stringify(name)}; if it should be, start it with --allow-host`,
                );
        },

        /** @param {IncomingMessage} request */
        checkKey({ headers }) {
            if (!wanted) return;
            // OpenAI's client always sends an Authorization, so either header will do
            const [, bearer] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [],
                given = [bearer, headers['x-api-key']].filter((key) => typeof key === 'string');
            if (!given.some((key) => timingSafeEqual(digest(key), wanted)))
                throw new HttpError(401, 'the API key is missing or wrong: send "Authorization: Bearer KEY"', {
                    code: 'invalid_api_key',
                    headers: { 'www-authenticate': 'Bearer' },
                });
        },

        /**
         * The headers that let a page of another origin read the answer. Without them browsers keep it from the page.
         * @param {IncomingMessage} request
         * @returns {Record<string, string>}
         */
        originHeaders({ headers: { origin } }) {
            if (origins.length === 0) return {};
            const all = origins.includes('*');
            if (!all && !(origin && origins.includes(origin))) return { vary: 'origin' };
            return {
                'access-control-allow-origin': all ? '*' : String(origin),
                'access-control-expose-headers': `retry-after, ${ID_HEADER}`,
                ...(all ? {} : { vary: 'origin' }),
            };
        },

        /**
         * The answer to the question that browsers ask before such a page's request.
         * @param {IncomingMessage} request
         */
        preflight({ headers }) {
            return new Response(null, {
                status: 204,
                headers: {
                    'access-control-allow-methods': 'GET, POST',
                    // what the page is about to send; OpenAI's client has a dozen headers of its own
                    'access-control-allow-headers': String(headers['access-control-request-headers'] ?? ''),
                    'access-control-max-age': '600',
                },
            });
        },
    };
}
