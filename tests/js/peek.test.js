// The first bytes of a source are looked at, and then all of it goes to its target (web/sources/peek.js).
// Runs once: no build of the core is used.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { give } from '../../web/sources/open.js';
import { lookAhead, peek } from '../../web/sources/peek.js';

const ROOM = new Uint8Array(1 << 14);

/** A source of 3 MB, and whether it has been closed. most: where it fails. */
function source(most = Infinity) {
    const state = { isClosed: false, left: 3 << 20 };
    const into = async (/** @type {import('../../web/sources/open.js').Sink} */ sink) => {
        try {
            while (state.left > 0) {
                await sink.ready?.();
                const n = Math.min(sink.room().length, state.left, 1 << 16);
                if (n === 0) break;
                sink.commit(n);
                state.left -= n;
                if ((3 << 20) - state.left >= most) throw new Error('lost');
            }
        } finally {
            state.isClosed = true;
        }
    };
    return { state, opened: { total: state.left, into } };
}

test('a target gets all bytes, and the source is closed', async () => {
    const { state, opened } = source(),
        { head, rest } = await peek(opened, 4);
    let got = 0;
    await rest.into({ room: () => ROOM, commit: (n) => void (got += n) });
    assert.deepEqual([head.length, got, state.isClosed], [4, 3 << 20, true]);
});

test('a target that refuses the first bytes, or later ones, closes the source', async () => {
    for (const most of [0, 2 << 20]) {
        const { state, opened } = source(),
            { rest } = await peek(opened, 4);
        let got = 0;
        const target = {
            room: () => ROOM,
            commit(/** @type {number} */ n) {
                if ((got += n) > most) throw new Error('refused');
            },
        };
        await assert.rejects(rest.into(target), /refused/);
        await new Promise(setImmediate);
        assert.equal(state.isClosed, true, `after ${most} bytes`);
    }
});

test('a sink gets the first bytes, in pieces of its own, and then the target all', async () => {
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i % 251),
        blob = new Blob([bytes]),
        /** @type {number[]} */ seen = [];
    const into = async (/** @type {import('../../web/sources/open.js').Sink} */ sink) => {
        for await (const piece of blob.stream()) await give(piece, sink);
    };
    const piece = new Uint8Array(7);
    const rest = await lookAhead(
        { total: bytes.length, into },
        {
            room: () => piece.subarray(0, Math.min(7, 1000 - seen.length)),
            commit: (n) => void seen.push(...piece.subarray(0, n)),
        },
    );
    assert.deepEqual(seen, [...bytes.subarray(0, 1000)]);
    /** @type {number[]} */
    const got = [];
    await rest.into({ room: () => piece, commit: (n) => void got.push(...piece.subarray(0, n)) });
    assert.deepEqual(got, [...bytes]);
});

test('what goes wrong while the first bytes are read is thrown at once, and the source is closed', async () => {
    const refusing = source();
    const refuse = () => {
        throw new Error('refused');
    };
    await assert.rejects(lookAhead(refusing.opened, { room: () => ROOM, commit: refuse }), /refused/);
    const failing = source(1 << 20);
    await assert.rejects(lookAhead(failing.opened, { room: () => ROOM, commit() {} }), /lost/);
    assert.deepEqual([refusing.state.isClosed, failing.state.isClosed], [true, true]);
});
