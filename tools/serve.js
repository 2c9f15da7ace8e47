// A static file server for the demo, its tests and the benches: node tools/serve.js [PORT]
// It listens on the loopback only, and sends the headers of cross-origin isolation, which threads need.
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TYPES = /** @type {Record<string, string>} */ ({
    '.css': 'text/css; charset=utf-8',
    '.gguf': 'application/octet-stream',
    '.html': 'text/html; charset=utf-8',
    '.ico': 'image/x-icon',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.map': 'application/json',
    '.md': 'text/plain; charset=utf-8',
    '.mjs': 'text/javascript; charset=utf-8',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.ts': 'text/plain; charset=utf-8',
    '.txt': 'text/plain; charset=utf-8',
    '.wasm': 'application/wasm',
    '.webmanifest': 'application/manifest+json',
});
const ISOLATION = {
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Service-Worker-Allowed': '/', // without a network demo/sw.js serves web/ and build/, too
};

/** Whether this part of a path is a hidden name, or ".." . @param {string} part */
const isHidden = (part) => part.startsWith('.');

/** The folders that may be served, with symbolic links resolved: the root, the checkout, and its build/ and
 * build/models, which may be links to other places.
 * @param {string} root @returns {Promise<string[]>} */
async function placesOf(root) {
    const paths = [root, ...['', 'build', 'build/models'].map((name) => join(ROOT, name))];
    return (await Promise.all(paths.map((path) => realpath(path).catch(() => '')))).filter((path) => path !== '');
}

/** The file that a request names. undefined: it is hidden, or outside of `places`, also by a symbolic link.
 * @param {string} root @param {string[]} places @param {string} path @returns {Promise<string | undefined>} */
async function locate(root, places, path) {
    let name;
    try {
        name = normalize(decodeURIComponent(path));
    } catch {
        return undefined;
    }
    if (name.includes('\0') || name.split(/[/\\]/).some(isHidden)) return undefined;
    const file = join(root, name.endsWith('/') ? `${name}index.html` : name);
    const real = await realpath(file).catch(() => '');
    return real && places.some((place) => !relative(place, real).split(sep).some(isHidden)) ? file : undefined;
}

/** Whether the Host header names the loopback. Others are refused, against DNS rebinding.
 * @param {string | undefined} host with or without a port */
const isOurName = (host) => /^(localhost|127\.0\.0\.1)(:\d+)?$/i.test(host ?? '');

/** The first and last byte of a Range header, [0, size - 1] without one, undefined if it cannot be satisfied.
 * @param {string | undefined} header @param {number} size @returns {[number, number] | undefined} */
function byteRange(header, size) {
    const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
    if (!match || (!match[1] && !match[2])) return [0, size - 1];
    const first = match[1] ? Number(match[1]) : Math.max(0, size - Number(match[2]));
    const last = match[1] && match[2] ? Math.min(Number(match[2]), size - 1) : size - 1;
    return first <= last ? [first, last] : undefined;
}

/** Serves root on the loopback. If the port is in use, it takes the next free one; 0 is any.
 * @param {{ root?: string, port?: number, isolated?: boolean, caching?: string }} [options] isolated: send the
 *     isolation headers; caching: Cache-Control (by default browsers ask each time, and get a 304 if nothing changed)
 * @returns {Promise<{ url: string, server: import('node:http').Server, close: () => Promise<void> }>} */
export async function serve({ root = ROOT, port = 0, isolated = true, caching = 'no-cache' } = {}) {
    const places = placesOf(root);
    const server = createServer(async (request, response) => {
        const [pathname] = (request.url ?? '/').split(/[?#]/);
        if (!isOurName(request.headers.host)) {
            response.writeHead(421, { 'Content-Type': 'text/plain' }).end('this server answers to localhost only\n');
            return;
        }
        if (pathname === '/') {
            response.writeHead(302, { Location: '/demo/' }).end();
            return;
        }
        if (request.method !== 'GET' && request.method !== 'HEAD') {
            response.writeHead(405, { Allow: 'GET, HEAD' }).end();
            return;
        }
        const file = pathname.startsWith('/') ? await locate(root, await places, pathname) : undefined;
        const found = file && (await stat(file).catch(() => undefined));
        if (!file || !found) {
            response.writeHead(404, { 'Content-Type': 'text/plain' }).end(`no such file: ${pathname}\n`);
            return;
        }
        if (found.isDirectory()) {
            // Do not redirect to the path as it was sent: "//host/..%2fdemo/" would lead to another server.
            response
                .writeHead(302, { Location: `/${relative(root, file).split(sep).map(encodeURIComponent).join('/')}/` })
                .end();
            return;
        }
        const headers = {
            ...(isolated ? ISOLATION : {}),
            'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
            'Cache-Control': caching,
            'Accept-Ranges': 'bytes',
            ETag: `"${found.size}-${found.mtimeMs}"`,
        };
        if (request.headers['if-none-match'] === headers.ETag) {
            response.writeHead(304, headers).end();
            return;
        }
        const sameFile = (request.headers['if-range'] ?? headers.ETag) === headers.ETag; // else send the whole new file
        const range = byteRange(sameFile ? request.headers.range : undefined, found.size);
        if (!range && found.size) {
            response.writeHead(416, { ...headers, 'Content-Range': `bytes */${found.size}` }).end();
            return;
        }
        const [start, end] = range ?? [0, -1];
        const part = end - start + 1 < found.size;
        response.writeHead(part ? 206 : 200, {
            ...headers,
            'Content-Length': end - start + 1,
            ...(part ? { 'Content-Range': `bytes ${start}-${end}/${found.size}` } : {}),
        });
        if (request.method === 'HEAD' || !found.size) {
            response.end();
            return;
        }
        const stream = createReadStream(file, { start, end, highWaterMark: 1 << 20 });
        stream.on('error', () => response.destroy());
        response.on('close', () => stream.destroy());
        stream.pipe(response);
    });
    for (let tries = 20; ; port++) {
        const taken = await new Promise((resolve, reject) => {
            const onError = (/** @type {NodeJS.ErrnoException} */ error) =>
                error.code === 'EADDRINUSE' && --tries > 0 ? resolve(true) : reject(error);
            server.once('error', onError);
            server.listen(port, '127.0.0.1', () => {
                server.off('error', onError);
                resolve(false);
            });
        });
        if (!taken) break;
    }
    const address = /** @type {import('node:net').AddressInfo} */ (server.address());
    return {
        url: `http://localhost:${address.port}/`,
        server,
        close: () =>
            new Promise((resolve) => {
                server.close(() => resolve());
                server.closeAllConnections();
            }),
    };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const { url } = await serve({ port: Number(process.argv[2] ?? 8080) });
    console.log(`The demo: ${url}demo/  (Ctrl+C ends it)`);
}
