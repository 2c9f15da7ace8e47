// The trainer's modules (src/nibble_train.h): both export the header's functions, and learn the same bits.
// (tests/core/test_train.c checks the bits.)
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nb_error, nb_train_optimizer, nb_train_shape, nb_train_tensor } from '../../web/abi.js';
import { writeStructs } from '../../web/worker/structs.js';
import { checkExports, moduleOf } from '../support/modules.js';

const SHAPE = {
    vocabulary: 50,
    width: 32,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    head_size: 8,
    hidden: 48,
    is_tied: 1,
    is_interleaved: 1,
    rope_base: 10000,
    epsilon: 1e-5,
};
const OPTIMIZER = {
    rate: 0.01,
    last_rate: 0.001,
    warmup: 2,
    steps: 20,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    decay: 0.1,
    clip: 1,
};
const SEQUENCES = 2,
    LENGTH = 16,
    STEPS = 20;

/** Trains on a text that repeats itself. @param {Awaited<ReturnType<typeof moduleOf>>} from */
function train({ core, memory }) {
    const error = core.nb_alloc(nb_error.size);
    const check = (/** @type {number} */ code) => {
        const message = Buffer.from(new Uint8Array(memory.buffer, error + 4, nb_error.size - 4)).toString();
        assert.ok(code >= 0, `${code}: ${message}`);
        return code;
    };
    const shape = core.nb_alloc(nb_train_shape.size),
        optimizer = core.nb_alloc(nb_train_optimizer.size),
        tokens = core.nb_alloc(8 * SEQUENCES * LENGTH),
        targets = tokens + 4 * SEQUENCES * LENGTH,
        numbers = core.nb_alloc(16);
    writeStructs(memory, shape, nb_train_shape, [SHAPE]);
    writeStructs(memory, optimizer, nb_train_optimizer, [OPTIMIZER]);
    const trainer = core.nb_trainer_new(0, shape, SEQUENCES, LENGTH, 1, error);
    check(trainer ? 0 : -1);
    check(core.nb_trainer_set_optimizer(trainer, optimizer, error));
    const weights = () =>
        new Float32Array(memory.buffer, core.nb_trainer_weights(trainer), core.nb_trainer_floats(trainer));
    let seed = 1;
    weights().forEach((_, i, all) => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        all[i] = seed / 2 ** 34 - 1 / 8;
    });
    const tensor = core.nb_alloc(nb_train_tensor.size);
    for (let i = 0; i < core.nb_trainer_tensors(trainer); i++) {
        check(core.nb_trainer_tensor(trainer, i, tensor));
        const [first, rows, columns] = new Uint32Array(memory.buffer, tensor, 3);
        if (rows === 1) weights().fill(1, first, first + columns); // norms
    }
    const data = new Int32Array(memory.buffer, tokens, 2 * SEQUENCES * LENGTH);
    for (let i = 0; i < SEQUENCES * LENGTH; i++) {
        data[i] = (i * i) % 7;
        data[SEQUENCES * LENGTH + i] = ((i + 1) * (i + 1)) % 7;
    }
    /** @type {number[]} */
    const losses = [];
    for (let step = 0; step < STEPS; step++) {
        check(core.nb_trainer_accumulate(trainer, tokens, targets, 0, SEQUENCES, LENGTH, numbers, error));
        check(core.nb_trainer_step(trainer, numbers + 8, error));
        losses.push(new Float64Array(memory.buffer, numbers, 1)[0] / (SEQUENCES * LENGTH));
    }
    const learned = weights().slice();
    core.nb_trainer_free(trainer);
    for (const p of [shape, optimizer, tensor, tokens, numbers, error]) core.nb_free(p);
    return { learned, losses };
}

test('the modules export the functions of the header, and the pool where there are threads', () =>
    checkExports('train', 'nibble_train.h'));

test('both modules learn a text that repeats itself, and the same bits', async () => {
    const plain = train(await moduleOf('train')),
        threads = train(await moduleOf('train-threads'));
    assert.deepEqual(plain, threads);
    const [first, last] = [plain.losses[0], plain.losses[STEPS - 1]];
    // The loss is about ln 50 at first, and 1.35 for a model that has only learned the frequencies of the four tokens.
    assert.ok(Math.abs(first - Math.log(50)) < 0.5 && last < 1, `the loss was ${first}, and is ${last}`);
});
