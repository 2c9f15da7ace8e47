// The demo's server: it sends what threads and resumable downloads need, and nothing outside of its folder.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serve } from '../../tools/serve.js';

/** @type {string} */
let folder;
/** @type {Awaited<ReturnType<typeof serve>>} */
let server;

before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nibble-serve-'));
    await mkdir(join(folder, 'root/.git'), { recursive: true });
    await writeFile(join(folder, 'secret.txt'), 'secret');
    await writeFile(join(folder, 'root/.git/HEAD'), 'secret');
    await writeFile(join(folder, 'root/digits.wasm'), '0123456789');
    await writeFile(join(folder, 'root/empty.js'), '');
    server = await serve({ root: join(folder, 'root') });
});
after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
});

/** A request whose path is sent unchanged (fetch would normalize it).
 * @param {string} path @param {Record<string, string>} [headers] @param {string} [method]
 * @returns {Promise<{ status?: number, headers: import('node:http').IncomingHttpHeaders, body: string }>} */
function get(path, headers = {}, method = 'GET') {
    const { port } = new URL(server.url);
    return new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port, path, headers, method }, (response) => {
            let body = '';
            response.setEncoding('utf8').on('data', (text) => (body += text));
            response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
        })
            .on('error', reject)
            .end();
    });
}

test('serve: a file, its type, and cross-origin isolation', async () => {
    const { status, headers, body } = await get('/digits.wasm?version=1');
    assert.equal(status, 200);
    assert.equal(body, '0123456789');
    assert.equal(headers['content-type'], 'application/wasm');
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
    assert.equal(headers['cross-origin-embedder-policy'], 'require-corp');
    assert.equal((await get('/empty.js')).status, 200);
    assert.equal((await get('/digits.wasm', { 'if-none-match': String(headers.etag) })).status, 304);
    const head = await get('/digits.wasm', {}, 'HEAD');
    assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '10', '']);
});

test('serve: ranges', async () => {
    for (const [range, status, body] of [
        ['bytes=2-4', 206, '234'],
        ['bytes=7-', 206, '789'],
        ['bytes=-2', 206, '89'],
        ['bytes=8-99', 206, '89'],
        ['bytes=0-9', 200, '0123456789'],
        ['bytes=10-', 416, ''],
        ['lines=1-2', 200, '0123456789'],
    ]) {
        const answer = await get('/digits.wasm', { range: String(range) });
        assert.deepEqual([answer.status, answer.body], [status, body], String(range));
    }
    const { etag, 'content-range': range } = (await get('/digits.wasm', { range: 'bytes=2-4' })).headers;
    assert.equal(range, 'bytes 2-4/10');
    assert.equal((await get('/digits.wasm', { range: 'bytes=2-4', 'if-range': String(etag) })).body, '234');
    assert.equal((await get('/digits.wasm', { range: 'bytes=2-4', 'if-range': '"another"' })).body, '0123456789');
});

test('serve: nothing outside the folder, nothing hidden, no other method', async () => {
    for (const path of [
        '/../secret.txt',
        '/%2e%2e/secret.txt',
        '/..%2fsecret.txt',
        '/.git/HEAD',
        '/x/../.git/HEAD',
        '/%00',
        '/%',
        '//',
    ])
        assert.equal((await get(path)).status, 404, path);
    assert.equal((await get('/digits.wasm', {}, 'POST')).status, 405);
    const { status, headers } = await get('/');
    assert.deepEqual([status, headers.location], [302, '/demo/']);
});

test('serve: symbolic links do not lead out of the folder', async () => {
    await mkdir(join(folder, 'root/inner folder'));
    await mkdir(join(folder, 'outside'));
    await writeFile(join(folder, 'outside/file.txt'), 'secret');
    for (const [to, name] of [
        ['secret.txt', 'file'],
        ['outside', 'folder'],
        ['root/../secret.txt', 'inner folder/file'],
        ['root/.git/HEAD', 'hidden.txt'],
        ['root/digits.wasm', 'own.wasm'],
        ['root-beside', 'beside'],
    ])
        await symlink(join(folder, to), join(folder, 'root', name));
    await mkdir(join(folder, 'root-beside'));
    await writeFile(join(folder, 'root-beside/file.txt'), 'secret');
    for (const path of [
        '/file',
        '/folder',
        '/folder/',
        '/folder/file.txt',
        '/inner%20folder/file',
        '/beside/file.txt',
        '/hidden.txt',
    ])
        assert.equal((await get(path)).status, 404, path);
    assert.equal((await get('/own.wasm')).body, '0123456789');
});

test("serve: a folder's URL redirects to itself, never to another server", async () => {
    await mkdir(join(folder, 'root/a b/c'), { recursive: true });
    for (const path of [
        '/a%20b',
        '//host/..%2fa%20b',
        '///a%20b',
        '/\\\\host/..%2fa%20b',
        '/x/..%2fa%20b',
        '/a%20b?//host',
    ])
        assert.match(
            JSON.stringify([(await get(path)).status, (await get(path)).headers.location]),
            /^\[(302,"\/a%20b\/"|404,null|404)\]$/,
            path,
        );
    const { status, headers } = await get('/a%20b/c');
    assert.deepEqual([status, headers.location], [302, '/a%20b/c/']);
    for (const path of ['http://host/a%20b', '//host', '//host/', 'a%20b'])
        assert.equal((await get(path)).headers.location, undefined, path);
});

test('serve: only for requests to localhost (DNS rebinding)', async () => {
    for (const host of ['localhost', 'localhost:8080', '127.0.0.1:1', 'LOCALHOST'])
        assert.equal((await get('/digits.wasm', { host })).status, 200, host);
    for (const host of [
        'evil.example',
        'localhost.evil.example',
        'evil.example:8080',
        '127.0.0.1.evil.example',
        '192.168.0.1',
    ])
        assert.deepEqual(
            [(await get('/digits.wasm', { host })).status, (await get('/', { host })).status],
            [421, 421],
            host,
        );
});

test('serve: uses the next port if one is in use', async () => {
    const { port } = new URL(server.url);
    const second = await serve({ port: Number(port) });
    assert.notEqual(new URL(second.url).port, port);
    await second.close();
});
