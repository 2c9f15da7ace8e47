// Answers that a test writes: the logits of a model are replaced, so that it can only say what the test wants. It runs
// in pages, too.

/**
 * Options of a generation that gives these tokens, and then ends. With several lists they are those of one generation
 * after another.
 * @param {import('../../web/index.d.ts').Model} model
 * @param {...number[]} answers
 */
export function saying(model, ...answers) {
    const end = /** @type {number} */ (model.info.tokenizer?.end);
    let answer = 0,
        at = 0;
    return {
        maxTokens: 2000,
        onLogits: (/** @type {Float32Array} */ logits) => {
            const token = answers[answer]?.[at++];
            if (token === undefined && answer < answers.length - 1) {
                answer++;
                at = 0;
            }
            logits.fill(-Infinity);
            logits[token ?? end] = 0;
        },
    };
}

/**
 * The same for texts.
 * @param {import('../../web/index.d.ts').Model} model
 * @param {...string} texts
 */
export const forced = async (model, ...texts) =>
    saying(model, ...(await Promise.all(texts.map((text) => model.tokenize(text, { bare: true })))));
