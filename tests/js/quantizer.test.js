// The quantizer's modules (src/nibble_quantize.h): both export the header's functions, and give the same bytes.
// (tests/core/test_gptq*.c checks the bytes.)
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NB_ORDER_GROUP_AWARE, NB_ROWS_NEAREST, nb_error, nb_gptq_settings, TYPES } from '../../web/abi.js';
import { writeStructs } from '../../web/worker/structs.js';
import { checkExports, moduleOf } from '../support/modules.js';

const COLUMNS = 256,
    ROWS = 40;

/** A matrix of random weights, quantized. @param {Awaited<ReturnType<typeof moduleOf>>} from @param {number} flags */
function quantize({ core, memory }, flags) {
    const error = core.nb_alloc(nb_error.size);
    const message = () => Buffer.from(new Uint8Array(memory.buffer, error + 4, nb_error.size - 4)).toString();
    const check = (/** @type {number} */ code) => {
        assert.ok(code >= 0, `${code}: ${message()}`);
        return code;
    };
    const handle = core.nb_quantizer_new(0, COLUMNS, error);
    const weights = core.nb_alloc(4 * ROWS * COLUMNS),
        bytes = (ROWS * COLUMNS * core.nb_quantizer_block_bytes(TYPES.q4_k)) / core.nb_quantizer_block(TYPES.q4_k),
        out = core.nb_alloc(bytes),
        settings = core.nb_alloc(nb_gptq_settings.size);
    const hessian = new Float32Array(memory.buffer, core.nb_quantizer_hessian(handle), COLUMNS ** 2);
    for (let i = 0; i < COLUMNS; i++)
        for (let j = 0; j < COLUMNS; j++)
            hessian[i * COLUMNS + j] = 0.9 ** Math.abs(i - j) * (1 + (i % 5)) * (1 + (j % 5));
    let seed = 1;
    const next = () => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return seed / 2 ** 31 - 1;
    };
    new Float32Array(memory.buffer, weights, ROWS * COLUMNS).forEach((_, i, all) => {
        all[i] = next() / 16;
    });
    writeStructs(memory, settings, nb_gptq_settings, [{ damping: 0.05, order: NB_ORDER_GROUP_AWARE, group: COLUMNS }]);
    check(core.nb_quantizer_prepare(handle, settings, error));
    while (check(core.nb_quantizer_factor(handle, error)) > 0);
    check(core.nb_quantizer_rows(handle, TYPES.q4_k, flags, TYPES.f32, weights, 0, ROWS, out, error));
    const blocks = Buffer.from(new Uint8Array(memory.buffer, out, bytes));
    const loss = core.nb_quantizer_error(handle, TYPES.f32, weights, TYPES.q4_k, out, ROWS, error);
    for (const p of [weights, out, settings, error]) core.nb_free(p);
    core.nb_quantizer_free(handle);
    return { blocks, loss };
}

test('the modules export the functions of the header, and the pool where there are threads', () =>
    checkExports('quantize', 'nibble_quantize.h'));

test('both modules write the same bytes, which have less error than rounding to nearest', async () => {
    const plain = await moduleOf('quantize'),
        threads = await moduleOf('quantize-threads');
    const fed = quantize(plain, 0);
    assert.ok(fed.blocks.equals(quantize(threads, 0).blocks));
    const nearest = quantize(plain, NB_ROWS_NEAREST);
    assert.ok(fed.loss > 0 && fed.loss < 0.7 * nearest.loss, `${fed.loss}, ${nearest.loss}`);
});
