// Answers of servers, and changes on the disk, while a model is loaded: wrong bytes are refused with a clear error, and
// harmless deviations are accepted.
import assert from 'node:assert/strict';
import { openAsBlob } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { load } from '../../web/index.js';
import { hubUrl, listingUrl } from '../../web/sources/hub.js';
import { opener } from '../../web/sources/open.js';
import { models, root } from '../support/builds.js';
import { listen } from '../support/loopback.js';
import { logitsOf, logitsVectors } from '../support/vectors.js';

const folder = `${root}tests/fixtures/safetensors/llama-f32/`;
const { tokens, entries, rows } = logitsVectors('safetensors/llama-f32.json');

/** A request: the file's name and bytes, the begin of the requested range (NaN: none), and the headers.
 * @typedef {{ name: string, bytes: Buffer, from: number, headers: import('node:http').IncomingHttpHeaders }} Asked */

/** How the server answers: status, headers, body. undefined: correctly, without validators; null: it closes the
 * connection.
 * @type {(asked: Asked) => [number, Record<string, string | number>, (Buffer | string)?] | null | undefined} */
let answer;
/** @type {Asked[]} */
let seen = [];
beforeEach(() => {
    answer = () => undefined;
    seen = [];
});

const server = await listen(async ({ url = '', headers }, response) => {
    const name = url.slice(1),
        bytes = await readFile(folder + name).catch(() => Buffer.alloc(0));
    const asked = { name, bytes, from: Number(/bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? NaN), headers };
    seen.push(asked);
    const given = answer(asked);
    if (given === null) return void response.socket?.destroy();
    const [status, fields, body = ''] =
        given ?? (bytes.length === 0 ? [404, {}] : Number.isNaN(asked.from) ? whole(asked) : part(asked));
    response.writeHead(status, fields).end(body);
});
const address = `${server.url}/`;
/** @type {string} */
let temporary;
before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'nibble-stream-'));
});
after(async () => {
    server.close();
    await rm(temporary, { recursive: true });
});

/** @param {Asked} asked @param {Record<string, string>} [more] @returns {[number, Record<string, string | number>,
 *     Buffer]} */
const whole = ({ bytes }, more = {}) => [200, { 'Content-Length': bytes.length, ...more }, bytes];

/** A correct answer with the bytes of the range.
 * @param {Asked} asked @param {Record<string, string>} [more] @returns {[number, Record<string, string | number>,
 *     Buffer]} */
const part = ({ bytes, from }, more = {}) => [
    206,
    {
        'Content-Length': bytes.length - from,
        'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
        ...more,
    },
    bytes.subarray(from),
];

const isWeights = (/** @type {Asked} */ { name }) => name.endsWith('.safetensors');
const isLater = (/** @type {Asked} */ asked) => isWeights(asked) && asked.from > 0;

/** Loads the folder, and compares its logits with transformers'. */
async function loads() {
    const model = await load(address, { threads: 1, kvType: 'f32' });
    try {
        for (const [i, row] of (await logitsOf(model, tokens)).entries())
            for (const [j, entry] of entries.entries()) assert.ok(Math.abs(row[entry] - rows[i][j]) < 1e-3);
    } finally {
        await model.dispose();
    }
}

/** @param {RegExp} message */
const refuses = (message) =>
    assert.rejects(load(address, { threads: 1 }), { name: 'NibbleError', code: 'NB_ERR_NETWORK', message });

describe('an answer to a request for a part', () => {
    /**
     * How the server answers the later request for weights.
     * @type {[what: string, give: (asked: Asked) => ReturnType<typeof answer>, message?: RegExp][]}
     */
    const cases = [
        ['as it should be', (asked) => part(asked)],
        ['the whole file', (asked) => whole(asked)],
        ['no Content-Range, and the right length', (asked) => part(asked, { 'Content-Range': '' })],
        [
            'another start',
            (asked) => part({ ...asked, from: asked.from - 8 }),
            /asked for its bytes from \d+ on, and answered with another part: bytes \d+-/,
        ],
        ['a later start', (asked) => part({ ...asked, from: asked.from + 4 }), /another part/],
        ['from the beginning', (asked) => part({ ...asked, from: 0 }), /another part: bytes 0-/],
        [
            'a larger file',
            (asked) => part({ ...asked, bytes: Buffer.concat([asked.bytes, Buffer.alloc(4)]) }),
            /changed while it was being loaded.*its size was \d+ bytes/,
        ],
        ['a smaller file', (asked) => part({ ...asked, bytes: asked.bytes.subarray(0, -4) }), /its size was/],
        [
            'not to the end',
            (asked) => [
                206,
                { 'Content-Range': `bytes ${asked.from}-${asked.from + 9}/${asked.bytes.length}` },
                asked.bytes.subarray(asked.from, asked.from + 10),
            ],
            /another part/,
        ],
        ['a Content-Range that says nothing', (asked) => part(asked, { 'Content-Range': 'bytes */*' }), /another part/],
        [
            'several parts in one',
            ({ bytes, from }) => [
                206,
                { 'Content-Type': 'multipart/byteranges; boundary=x' },
                Buffer.concat([
                    Buffer.from(`--x\r\nContent-Range: bytes ${from}-${bytes.length - 1}/${bytes.length}\r\n\r\n`),
                    bytes.subarray(from),
                ]),
            ],
            /multipart/,
        ],
        [
            'a part of a compressed file',
            ({ bytes, from }) => [
                206,
                { 'Content-Encoding': 'gzip', 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` },
                gzipSync(bytes.subarray(from)),
            ],
            /compressed file \(gzip\)/,
        ],
        ['416', ({ bytes }) => [416, { 'Content-Range': `bytes */${bytes.length}` }], /416.*changed or cut off/],
        [
            'another whole file',
            ({ bytes }) => whole({ ...seen[0], bytes: Buffer.concat([bytes, Buffer.alloc(8)]) }),
            /its size was/,
        ],
    ];
    for (const [what, give, message] of cases)
        test(what, async () => {
            answer = (asked) => {
                if (!isLater(asked)) return undefined;
                const given = give(asked);
                if (given?.[1]['Content-Range'] === '') delete given[1]['Content-Range'];
                return given;
            };
            await (message ? refuses(message) : loads());
            assert.ok(seen.some(isLater));
        });

    for (const [what, length] of /** @type {const} */ ([
        ['without any length', false],
        ['of another length', true],
    ]))
        test(`no Content-Range, ${what}: the whole file is taken`, async () => {
            answer = (asked) =>
                isLater(asked)
                    ? [
                          206,
                          /** @type {Record<string, number>} */ (length ? { 'Content-Length': 8 } : {}),
                          asked.bytes.subarray(asked.from, length ? asked.from + 8 : undefined),
                      ]
                    : undefined;
            await loads();
            assert.equal(seen.filter(isWeights).length, 3);
        });

    test('a part that nobody asked for', async () => {
        answer = (asked) => (isWeights(asked) ? part({ ...asked, from: 8 }) : undefined);
        await refuses(/asked for the whole file, and answered with another part/);
        answer = (asked) => (isWeights(asked) ? [206, {}, asked.bytes] : undefined);
        await refuses(/asked for the whole file, and answered with a part of it/);
        answer = (asked) => (isWeights(asked) && Number.isNaN(asked.from) ? part({ ...asked, from: 0 }) : undefined);
        await loads(); // a part, but all of it
    });
});

describe('a file that changes between its header and its weights', () => {
    const other = (/** @type {Asked} */ { bytes }) => Buffer.from(bytes).fill(0, bytes.length - 64);
    const date = (/** @type {number} */ day) => new Date(Date.UTC(2026, 0, day)).toUTCString();
    /** @type {[what: string, first: Record<string, string>, later: Record<string, string>, message?: RegExp][]} */
    const cases = [
        ['another ETag', { ETag: '"a"' }, { ETag: '"b"' }, /its ETag was "a", and is "b"\. Load the model again/],
        ['another weak ETag', { ETag: 'W/"a"' }, { ETag: 'W/"b"' }, /ETag/],
        ['another date', { 'Last-Modified': date(1) }, { 'Last-Modified': date(2) }, /its date was Thu, 01 Jan 2026/],
        [
            'an ETag that only says how it was sent',
            { ETag: 'W/"a-gzip"', 'Last-Modified': date(1) },
            { ETag: '"a"', 'Last-Modified': date(1) },
        ],
        [
            'another date under the same ETag',
            { ETag: '"a"', 'Last-Modified': date(1) },
            { ETag: '"a"', 'Last-Modified': date(2) },
        ],
        ['nothing said later', { ETag: '"a"' }, {}],
    ];
    for (const [what, first, later, message] of cases)
        for (const give of [part, whole])
            test(`${what}, ${give.name}`, async () => {
                answer = (asked) =>
                    isWeights(asked)
                        ? isLater(asked)
                            ? give(message ? { ...asked, bytes: other(asked) } : asked, later)
                            : whole(asked, first)
                        : undefined;
                await (message ? refuses(message) : loads());
            });

    test('requests have If-Range, so that the server sends a part of the same file only', async () => {
        for (const [fields, wanted] of /** @type {[Record<string, string>, string | undefined][]} */ ([
            [{ ETag: '"a"', 'Last-Modified': date(1) }, '"a"'],
            [{ ETag: 'W/"a"', 'Last-Modified': date(1) }, date(1)], // If-Range does not allow weak ETags
            [{}, undefined],
        ])) {
            seen = [];
            answer = (asked) => (isWeights(asked) && !isLater(asked) ? whole(asked, fields) : undefined);
            await loads();
            assert.equal(seen.find(isLater)?.headers['if-range'], wanted);
        }
    });

    test('on the disk', async () => {
        const path = join(temporary, 'file.gguf');
        await copyFile(models.tiny, path);
        const text = async (/** @type {import('../../web/sources/open.js').Opened} */ opened, n = Infinity) => {
            let left = n;
            await opened.into({
                room: () => Buffer.alloc(Math.min(left, 4096)),
                commit: (read) => {
                    left -= read;
                },
            });
        };
        const changed = {
            code: 'NB_ERR_FILE',
            message: /file\.gguf was changed while it was being loaded\. Load it again/,
        };
        const { length } = await readFile(path);
        for (const [what, change] of /** @type {[string, () => Promise<unknown>][]} */ ([
            ['its bytes', async () => writeFile(path, Buffer.alloc(length))],
            ['its size', async () => writeFile(path, Buffer.alloc(length + 1))],
            ['its time', async () => utimes(path, 1, 1)],
            ['another file', () => rm(path).then(() => copyFile(models.tiny, path))],
        ])) {
            const open = opener({ kind: 'path', path });
            await text(await open(), 8192);
            await text(await open(8192));
            await change();
            await assert.rejects(open(8192), changed, what);

            const during = await opener({ kind: 'path', path })();
            await utimes(path, 2, 2);
            await assert.rejects(text(during), changed, 'while it is read');
        }
    });

    test('the local file of a File object', async () => {
        const path = join(temporary, 'blob.gguf');
        await copyFile(models.tiny, path);
        const blob = await openAsBlob(path);
        const open = opener({ kind: 'blob', blob });
        const sink = { room: () => Buffer.alloc(4096), commit: () => {} };
        await (await open()).into(sink);
        await writeFile(path, 'short');
        await assert.rejects(async () => (await open(4096)).into(sink), {
            code: 'NB_ERR_FILE',
            message: /could not be read at byte 4096.*Was it moved or changed/,
        });
        // some browsers return what is left of a shortened file, without an error
        const short = /** @type {Blob} */ ({
            size: 9,
            slice: () => ({ size: 9, arrayBuffer: async () => new ArrayBuffer(5) }),
        });
        await assert.rejects(async () => (await opener({ kind: 'blob', blob: short })()).into(sink), /5 bytes of 9/);
    });
});

describe('headers are hints', () => {
    for (const encoding of ['gzip', 'identity', 'GZIP'])
        test(`Content-Encoding: ${encoding}`, async () => {
            answer = (asked) => {
                if (asked.bytes.length === 0 || isLater(asked)) return undefined;
                const body = encoding === 'identity' ? asked.bytes : gzipSync(asked.bytes);
                return [200, { 'Content-Encoding': encoding, 'Content-Length': body.length }, body];
            };
            await loads();
        });
});

describe('an optional file may be absent in any way', () => {
    const PAGE = '<!DOCTYPE html><html><body>Our app</body></html>';
    /** @type {[what: string, give: () => ReturnType<typeof answer>][]} */
    const ways = [
        ...[400, 401, 403, 404, 405, 410, 451].map(
            (status) =>
                /** @type {[string, () => ReturnType<typeof answer>]} */ ([`${status}`, () => [status, {}, PAGE]]),
        ),
        ['a page with 200', () => [200, { 'Content-Type': 'text/html' }, `\ufeff\n${PAGE}`]],
        ['a page that is called something else', () => [200, { 'Content-Type': 'application/octet-stream' }, PAGE]],
        ['a long page', () => [200, { 'Content-Type': 'text/html' }, PAGE + 'x'.repeat(1 << 20)]],
        [
            'an XML message',
            () => [200, { 'Content-Type': 'application/xml' }, '<?xml version="1.0"?><Error>NoSuchKey</Error>'],
        ],
        ['200 with nothing', () => [200, {}, '']],
        ['204', () => [204, {}]],
        ['a rejected fetch', () => null],
    ];
    const documents = [
        'generation_config.json',
        'tokenizer_config.json',
        'chat_template.jinja',
        '1_Pooling/config.json',
        'modules.json',
        'model.safetensors.index.json',
    ];
    for (const [what, give] of ways)
        test(what, async () => {
            answer = ({ name }) => (documents.includes(name) ? give() : undefined);
            await loads();
            assert.deepEqual(
                documents.filter((name) => !seen.some((asked) => asked.name === name)),
                [],
                'all are asked for',
            );
        });

    test('JSON that is sent as text/html', async () => {
        answer = ({ name }) =>
            name === 'tokenizer_config.json'
                ? [200, { 'Content-Type': 'text/html; charset=utf-8' }, 'Not found']
                : undefined;
        await loads();
    });

    test('a file that is there is read, whatever its type', async () => {
        const template = '<s>{{ messages[0].content }}';
        answer = (asked) =>
            asked.name === 'chat_template.jinja'
                ? [200, { 'Content-Type': 'text/html' }, template]
                : asked.name === 'config.json'
                  ? whole(asked, { 'Content-Type': 'text/html' })
                  : undefined;
        const model = await load(address, { headerOnly: true });
        assert.equal(model.info.chatTemplate, template);
        await model.dispose();
    });

    test('but an error of the server is an error, and so is a missing file that the model needs', async () => {
        for (const status of [408, 429, 500, 503]) {
            answer = ({ name }) => (name === 'tokenizer_config.json' ? [status, {}] : undefined);
            await refuses(new RegExp(`tokenizer_config\\.json answered ${status}`));
        }
        for (const [what, give] of ways) {
            answer = ({ name }) => (name === 'config.json' ? give() : undefined);
            await refuses(
                new RegExp(
                    String.raw`config\.json.*A folder of safetensors files has a config\.json\. ` +
                        'If this one has GGUF files: name one of them',
                ),
            );
            answer = (asked) => (isWeights(asked) ? give() : undefined);
            await assert.rejects(load(address), { name: 'NibbleError', code: /NETWORK|FORMAT|TRUNCATED/ }, what);
        }
    });

    test("a folder's URL with only GGUF files says so", async () => {
        answer = ({ name }) =>
            name === ''
                ? [
                      200,
                      { 'Content-Type': 'text/html' },
                      '<a href="../">up</a><a href="a%20b.gguf">a b</a> <a href="/x/c.GGUF?x">c</a>' +
                          '<a href="._d.gguf">d</a><a href="notes.txt">n</a>',
                  ]
                : [404, {}];
        await refuses(
            new RegExp(
                String.raw`config\.json answered 404.*This one has GGUF files \(a%20b\.gguf, c\.GGUF\): ` +
                    String.raw`name one of them, as http:.*/a%20b\.gguf`,
            ),
        );
        // with a configuration beside them, and a list of files like the hub's
        answer = ({ name }) =>
            name === ''
                ? [
                      200,
                      { 'Content-Type': 'application/json' },
                      JSON.stringify([
                          { type: 'directory', path: 'other.gguf/x' },
                          { type: 'file', path: 'sub/d.Q4_K_M.gguf' },
                          { type: 'file', path: 'sub/mmproj.txt' },
                      ]),
                  ]
                : name === 'model.safetensors'
                  ? [404, {}]
                  : undefined;
        await refuses(
            new RegExp(
                String.raw`model\.safetensors answered 404.*has a model\.safetensors\. ` +
                    String.raw`This one has GGUF files \(d\.Q4_K_M\.gguf\): name one.*/d\.Q4_K_M\.gguf`,
            ),
        );
    });

    test('a repository of the hub is listed by its API', () => {
        for (const [address, listing] of [
            ['hf:owner/repo', 'https://huggingface.co/api/models/owner/repo/tree/main'],
            ['hf:owner/repo@a%2Fb/sub/dir/', 'https://huggingface.co/api/models/owner/repo/tree/a%2Fb/sub/dir'],
        ])
            assert.equal(listingUrl(hubUrl(address)), listing);
        assert.equal(listingUrl('https://example.org/a/resolve/main/'), 'https://example.org/a/resolve/main/');
    });
});
