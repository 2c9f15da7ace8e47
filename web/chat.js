/**
 * Chat: messages -> the model's own Jinja template -> tokens.
 *
 * Nobody may forge a turn by writing a special token into a message. Ordinary messages are rendered as they are, and the
 * whole text is tokenized with its special tokens parsed, exactly as the reference does. Where a message contains the text
 * of a special token, or begins or ends with a part of one, a mark (a code point that Unicode reserves for such uses, so no
 * text has it) is put there before rendering. The rendered text is then cut at the special tokens that are the template's
 * own, and every stretch between them that has a mark is tokenized without it, as text and nothing else. Some files call
 * the tokens that begin a turn user-defined, and those are found in any text: where a template writes one that a message
 * holds too, the message is tokenized in two pieces, parted at the mark.
 */
import { ownTemplateUrl } from './assets.js';
import { NibbleError } from './errors.js';
import { importOwn } from './platform.js';

/** @typedef {import('./index.d.ts').Message} Message */

/**
 * What this needs to know of a model.
 * @typedef {object} ChatModel
 * @property {string | null} template
 * @property {string} [templateUrl] of the renderer, build/jinja.js
 * @property {string} beginText of the beginning token, or ''
 * @property {string} endText of the end token, or ''
 * @property {number[]} beginTokens what the model wants before any text
 * @property {() => string[]} specials the texts of all special tokens
 * @property {() => string[]} [shown] texts of tokens that are found in any text, but look like special ones
 * @property {(text: string, special: boolean) => number[]} tokenize special: parse the names of special tokens
 */

/**
 * @param {string | undefined} url
 * @returns {Promise<typeof import('@huggingface/jinja').Template>}
 */
async function jinja(url = ownTemplateUrl()) {
    try {
        return (await importOwn(url, 'jinja')).Template;
    } catch (error) {
        throw new NibbleError('NB_ERR_ENGINE', `cannot load the chat templates' renderer from ${url}: ` +
            `${error instanceof Error ? error.message : error}. In a checkout run make build, or tell load() where it is with templateUrl`, { cause: error });
    }
}

/**
 * @param {unknown} messages
 * @returns {Message[]} with their contents as one text each
 */
export function checkMessages(messages) {
    const refuse = (/** @type {string} */ message) => new NibbleError('NB_ERR_ARGUMENT', `chat(): ${message}`);
    const list = typeof messages === 'string' ? [{ role: 'user', content: messages }] : messages;
    if (!Array.isArray(list) || list.length === 0)
        throw refuse('messages must be a text, or an array of { role, content } with at least one of them');
    return list.map((/** @type {any} */ message, /** @type {number} */ i) => {
        if (typeof message?.role !== 'string')
            throw refuse(`message ${i} has no role; give it "system", "user" or "assistant"`);
        const parts = Array.isArray(message.content) ? message.content : [{ type: 'text', text: message.content }];
        for (const part of parts)
            if (part?.type !== 'text' || typeof part.text !== 'string')
                throw refuse(`the content of message ${i} must be a text (or an array of { type: 'text', text })`);
        return { ...message, content: parts.map((/** @type {{ text: string }} */ part) => part.text).join('') };
    });
}

/**
 * @param {ChatModel} model
 * @param {Message[]} messages checked
 * @returns {Promise<number[]>} the tokens of the whole conversation, up to where the model's answer begins
 */
export async function chatTokens(model, messages) {
    if (!model.template)
        throw new NibbleError('NB_ERR_UNSUPPORTED', 'this model has no chat template: it continues text rather than answering. ' +
            'Use complete() (on the command line: --prompt)');
    const specials = model.specials().filter((text) => text !== '');
    const { template } = model;
    const shown = (model.shown?.() ?? []).filter((text) => template.includes(text));
    const any = matcher([...specials, ...shown]);
    const mark = unusedMark(template + JSON.stringify(messages));
    const guarded = /** @type {Message[]} */ (guard(messages, [...specials, ...shown], any, mark));
    const text = render(await jinja(model.templateUrl), model, guarded);

    // many templates write the beginning token themselves
    const begin = model.beginText && text.startsWith(model.beginText) ? [] : model.beginTokens;
    if (!text.includes(mark))
        return [...begin, ...model.tokenize(text, true)];
    return [...begin, ...cut(text, any).flatMap((stretch) => {
        if (!stretch.includes(mark))
            return model.tokenize(stretch, true);
        const plain = stretch.replaceAll(mark, '');
        const pieces = shown.some((name) => plain.includes(name)) ? stretch.split(mark).filter((piece) => piece !== '') : [plain];
        return pieces.flatMap((piece) => model.tokenize(piece, false));
    })];
}

/**
 * @param {typeof import('@huggingface/jinja').Template} Template
 * @param {ChatModel} model
 * @param {Message[]} messages
 */
function render(Template, model, messages) {
    try {
        return new Template(/** @type {string} */ (model.template)).render({
            messages, add_generation_prompt: true, bos_token: model.beginText, eos_token: model.endText,
            tools: null, documents: null, // templates ask whether there are any, and how depends on the asker
        });
    } catch (error) {
        // some templates refuse what they were not made for by raising an error themselves: their text says what
        throw new NibbleError('NB_ERR_ARGUMENT', `the model's chat template refuses these messages: ${
            error instanceof Error ? error.message : error}`, { cause: error });
    }
}

/**
 * @param {string[]} specials
 * @returns {RegExp} that finds any of them, the longest first, as the tokenizer does
 */
function matcher(specials) {
    const escaped = [...specials].sort((a, b) => b.length - a.length).map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    return new RegExp(escaped.length > 0 ? escaped.join('|') : '(?!)', 'gu');
}

/** @param {string} text */
function unusedMark(text) {
    for (let code = 0xfdd0; code <= 0xfdef; code++)
        if (!text.includes(String.fromCharCode(code)))
            return String.fromCharCode(code);
    throw new NibbleError('NB_ERR_ARGUMENT', 'chat(): the messages use all 32 of the noncharacters U+FDD0 to U+FDEF; leave one out');
}

/**
 * @param {unknown} value messages, or a part of them: every text in them is the caller's
 * @param {string[]} specials
 * @param {RegExp} any
 * @param {string} mark
 * @returns {unknown}
 */
function guard(value, specials, any, mark) {
    if (typeof value === 'string')
        return guardText(value, specials, any, mark);
    if (Array.isArray(value))
        return value.map((item) => guard(item, specials, any, mark));
    if (typeof value === 'object' && value !== null)
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, guard(item, specials, any, mark)]));
    return value;
}

/**
 * @param {string} text
 * @param {string[]} specials
 * @param {RegExp} any
 * @param {string} mark
 */
function guardText(text, specials, any, mark) {
    let guarded = text;
    while (guarded.search(any) >= 0) // again, because breaking one may leave another that overlapped it
        guarded = guarded.replace(any, (found) => {
            const first = String.fromCodePoint(/** @type {number} */ (found.codePointAt(0)));
            return first === found ? '' : first + mark + found.slice(first.length); // one character cannot be broken
        });
    if (specials.some((special) => overlaps(text, special)))
        guarded += mark;
    if (specials.some((special) => overlaps(special, text)))
        guarded = mark + guarded;
    return guarded;
}

/**
 * Whether a ends with what b begins with.
 * @param {string} a
 * @param {string} b
 */
function overlaps(a, b) {
    for (let n = Math.min(a.length, b.length); n > 0; n--)
        if (a.endsWith(b.slice(0, n)))
            return true;
    return false;
}

/**
 * @param {string} text
 * @param {RegExp} any
 * @returns {string[]} the special tokens of the text and what lies between them, in order, none of them empty
 */
function cut(text, any) {
    const stretches = [];
    let at = 0;
    for (const { 0: found, index } of text.matchAll(any)) {
        stretches.push(text.slice(at, index), found);
        at = index + found.length;
    }
    stretches.push(text.slice(at));
    return stretches.filter((stretch) => stretch !== '');
}
