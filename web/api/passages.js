/** Cuts a text into passages to embed, and passages to what a model takes. */

/** Passages of so many characters, and shorter ones, such as headings, are left out. */
export const SHORTEST = 40;
/** If paragraphs are fewer than this, lines are tried, and then sentences. */
const ENOUGH = 20;
/** Between paragraphs, lines, sentences. */
const CUTS = [/\n\s*\n/, /\n/, /(?<=[.!?…。！？])\s+/];

/**
 * The passages of a text, in its order, none of them twice.
 * @param {string} text
 * @returns {string[]}
 */
export function passagesOf(text) {
    /** @type {string[]} */
    let most = [];
    for (const cut of CUTS) {
        const parts = text.split(cut).map((part) => part.trim());
        const found = [...new Set(parts.filter((part) => part.length > SHORTEST))];
        if (found.length >= ENOUGH) return found;
        if (found.length > most.length) most = found;
    }
    return most;
}

/**
 * The beginning of a text that fits into a model's context, with special tokens and a prompt.
 * @param {Pick<import('../index.d.ts').Model, 'info' | 'tokenize'>} model
 * @param {string} text
 * @param {{ promptName?: string, signal?: AbortSignal }} [options] promptName: default: the model's default prompt
 */
export async function fitting(model, text, { promptName, signal } = {}) {
    const { contextLength, embedding } = model.info,
        prompt = embedding?.prompts?.[promptName ?? embedding.defaultPrompt ?? ''] ?? '';
    for (;;) {
        const { length } = await model.tokenize(prompt + text, { signal });
        if (length <= contextLength || text === '') return text;
        const share = contextLength / length;
        text = text.slice(0, Math.min(text.length - 1, Math.floor(text.length * share)));
    }
}
