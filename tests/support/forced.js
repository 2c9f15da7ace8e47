// Answers that a test writes: the logits of a model are replaced, so that it can only say what the test wants.

/**
 * The option onLogits for a generation that writes a text, and then ends.
 * @param {import('../../web/index.d.ts').Model} model
 * @param {string} text special tokens in it are those of the model
 */
export async function forced(model, text) {
    const tokens = await model.tokenize(text, { special: true, bare: true }),
        end = /** @type {number} */ (model.info.tokenizer?.end);
    let at = 0;
    return {
        maxTokens: 2000,
        onLogits: (/** @type {Float32Array} */ logits) => {
            logits.fill(-Infinity);
            logits[tokens[at++] ?? end] = 0;
        },
    };
}
