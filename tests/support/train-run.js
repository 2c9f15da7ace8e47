// What tests of train() share: a whole training, and the loss of the trained model, computed by the engine.
import { load, train } from '../../web/index.js';

/**
 * Trains to the end, or until a step.
 * @param {Parameters<typeof train>[0]} source
 * @param {import('../../web/index.js').TrainOptions} options
 * @param {number} [until] the last step
 */
export async function run(source, options, until = Infinity) {
    const training = await train(source, options);
    try {
        /** @type {import('../../web/index.js').TrainStep[]} */
        const steps = [];
        if (training.step < until)
            for await (const step of training) {
                steps.push(step);
                if (step.step === until) break;
            }
        return {
            info: training.info,
            steps,
            losses: steps.map(({ loss }) => loss),
            checkpoint: await training.checkpoint(),
            model: await whole(training.model()),
        };
    } finally {
        await training.dispose();
    }
}

/** The bytes of a stream. @param {any} stream */
export const whole = async (stream) => Buffer.from(await new Response(stream).arrayBuffer());

/**
 * The mean cross-entropy of the next token, computed by the engine.
 * @param {Uint8Array} model
 * @param {number[]} tokens
 */
export async function entropy(model, tokens) {
    const loaded = await load(model, { kvType: 'f32' }),
        n = loaded.info.vocabulary ?? 0;
    let sum = 0,
        position = 0;
    for await (const rows of loaded.logits(tokens.slice(0, -1)))
        for (let at = 0; at < rows.length; at += n, position++) {
            const logits = rows.subarray(at, at + n),
                most = logits.reduce((a, b) => Math.max(a, b)),
                total = logits.reduce((all, z) => all + Math.exp(z - most), 0);
            sum += Math.log(total) + most - logits[tokens[position + 1]];
        }
    await loaded.dispose();
    return sum / position;
}
