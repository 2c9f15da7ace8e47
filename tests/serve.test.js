// The demo's server: what a page with threads and a resumable download rely on, and nothing outside its folder.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serve } from '../tools/serve.js';

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

/** A request whose path is sent as it stands (fetch would tidy it up).
 * @param {string} path @param {Record<string, string>} [headers] @param {string} [method]
 * @returns {Promise<{ status?: number, headers: import('node:http').IncomingHttpHeaders, body: string }>} */
function get(path, headers = {}, method = 'GET') {
    const { port } = new URL(server.url);
    return new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port, path, headers, method }, response => {
            let body = '';
            response.setEncoding('utf8').on('data', text => body += text);
            response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
        }).on('error', reject).end();
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
    assert.equal((await get('/digits.wasm', { range: 'bytes=2-4' })).headers['content-range'], 'bytes 2-4/10');
});

test('serve: nothing outside the folder, nothing hidden, no other method', async () => {
    for (const path of ['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/.git/HEAD', '/x/../.git/HEAD', '/%00', '/%', '//'])
        assert.equal((await get(path)).status, 404, path);
    assert.equal((await get('/digits.wasm', {}, 'POST')).status, 405);
    const { status, headers } = await get('/');
    assert.deepEqual([status, headers.location], [302, '/demo/']);
});

test('serve: takes the next port when one is taken', async () => {
    const { port } = new URL(server.url);
    const second = await serve({ port: Number(port) });
    assert.notEqual(new URL(second.url).port, port);
    await second.close();
});
