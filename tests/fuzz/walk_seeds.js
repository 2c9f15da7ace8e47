// Writes a seed corpus for fuzz_walk: walk_seeds.js FOLDER
// The seeds are small models, with calls in the order in which quantizers make them, in other orders, and with an
// allocation that fails.
import { corpus, refusal, smallModels } from './seeds.js';

const MOST_BYTES = 130_000;
/** The byte with which fuzz_walk.c observes. @param {number} group -1: all */
const observe = (group) => ((group + 1) << 4) | 4,
    /** The bytes that replace a matrix of each group. */
    REPLACE = [0, 1, 2, 3].map((group) => 1 | (group << 2) | ((group + 1) << 5)),
    [NOTE, CHANGE, PASS, PASS_PART] = [6, 2, 3, 11];
const LAYER = [observe(0), REPLACE[0], observe(1), REPLACE[1], PASS_PART, observe(2), observe(3), PASS];
const ORDERS = [
    [...LAYER, ...LAYER],
    [observe(-1), NOTE, ...REPLACE, CHANGE, PASS, observe(-1), PASS],
    [PASS_PART, NOTE, observe(0), PASS, 128, REPLACE[2], PASS, CHANGE, PASS],
];

const seeds = corpus();
for (const [i, { name, file }] of smallModels(MOST_BYTES).entries())
    for (const [k, order] of [...ORDERS, [0, 2, 2, 1, 2, 2]].entries()) {
        const steps = Buffer.alloc(24);
        steps.set(order);
        const isProbed = k === ORDERS.length,
            windows = Buffer.from([(isProbed ? 128 : 0) | 1, 4 + (i % 8)]);
        seeds.put(`${name}-${k}`, steps, refusal(k === 2 ? i + 1 : 0), windows, file);
    }
seeds.close();
