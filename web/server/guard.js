/** Who may ask: the names of this server, the key, and pages of other origins. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { HttpError, ID_HEADER } from '../openai/respond.js';

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */

/**
 * hosts: names by which clients may call this server, beside localhost and addresses, as hostNameOf() writes them;
 * undefined: any. key: what clients must know. origins: pages that may ask, as originOf() writes them, "*" for all.
 * @typedef {{ hosts?: string[], key?: string, origins: string[] }} Rules
 */

/** Digests have one length, and their comparison takes the same time wherever they differ. @param {string} text */
const digest = (text) => createHash('sha256').update(text).digest();

/** Schemes that URL gives origins to, and that no page has. */
const NO_PAGES = ['ftp:', 'file:', 'ws:', 'wss:'];

/**
 * An origin, written as browsers write it in the header Origin. Upper case, the usual port and a slash at the end
 * change nothing, so they are allowed here.
 * @param {string} text
 * @returns {string | undefined} undefined: no page has such an origin
 */
export function originOf(text) {
    if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/\\?#@*,%]+\/?$/i.test(text)) return undefined;
    try {
        const { protocol, host, origin } = new URL(text);
        if (NO_PAGES.includes(protocol)) return undefined;
        // URL knows no origins of other schemes, such as those of browser extensions
        return (origin === 'null' ? `${protocol}//${host}` : origin).toLowerCase();
    } catch {
        return undefined;
    }
}

/**
 * A host's name, written as browsers write it in the header Host, without the dot that may end it.
 * @param {string} text
 * @returns {string | undefined} undefined: it is no name, or more than a name, such as one with a port
 */
export function hostNameOf(text) {
    const name = text.replace(/\.$/, '');
    if (isIP(bare(name))) return name.toLowerCase();
    return /[\s/\\?#@*,%:[\]]/.test(name) ? undefined : domainToASCII(name) || undefined;
}

/** An address without the brackets that IPv6 has in URLs. @param {string} name */
const bare = (name) => name.replace(/^\[(.*)\]$/, '$1');

/** @param {Rules} rules */
export function guardOf({ hosts, key, origins }) {
    const wanted = key === undefined ? undefined : digest(key);
    return {
        /**
         * A page whose name leads to this machine could ask as if it were of this server (DNS rebinding). Its name is
         * in the Host header, so only known names may be there. An address is no name that could lead elsewhere.
         * @param {IncomingMessage} request
         */
        checkHost({ headers: { host = '' } }) {
            const [, name = ''] = /^(\[[^\]]*\]|[^:]*?)\.?(?::\d+)?$/.exec(host.toLowerCase()) ?? [],
                isKnown = isIP(bare(name)) > 0 || /^(.+\.)?localhost$/.test(name) || hosts?.includes(name);
            if (hosts && !isKnown)
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
