/**
 * Chat: messages -> the model's own Jinja template -> one text -> tokens.
 *
 * Nobody may forge a turn by writing a special token into a message. Template and tokenizer still see exactly what
 * the reference shows them. The template gets the messages as they are; its renderer (jinja/) remembers, through
 * all that a template does to a text, which characters came out of a message. The tokenizer gets the whole text at
 * once, and the places of the messages in it: a special token's name that touches a message is text there
 * (nb_tokenize_quoted).
 *
 * Control tokens are never parsed in a message. Tokens that a file calls user-defined are found in any text, as the
 * reference finds them, unless the template writes them itself: those may begin a turn or end it.
 */
import { ownTemplateUrl } from '../assets.js';
import { messageOf, NibbleError } from '../errors.js';
import { importOwn } from '../platform.js';

/** @typedef {import('../index.d.ts').Message} Message */
/** @typedef {import('../index.d.ts').TemplateOptions} TemplateOptions */
/** @typedef {typeof import('../jinja/jinja.js')} Jinja */
/** @typedef {{ token: number, kinds: number }} Plain a user-defined token that is text in quotes of these kinds
 *     (nb_plain) */

/**
 * What chatPrompt() needs to know of a model.
 * @typedef {object} ChatModel
 * @property {string | null} template
 * @property {boolean} [encoder] it embeds texts, and continues none
 * @property {string} [templateUrl] of the renderer, build/jinja.js
 * @property {string} beginText of the beginning token, or ''
 * @property {string} endText of the end token, or ''
 * @property {number[]} beginTokens what the model wants before any text
 * @property {() => { token: number, name: string }[]} userDefined the tokens that are found in any text
 * @property {(name: string) => boolean} isToken whether the tokenizer has a token of this name
 * @property {(text: string, marks: number[], plain: Plain[]) => number[]} tokenize a text with its special tokens
 *     parsed;
 *     marks: from, to and kind of each quote in turn
 */

/**
 * nulls: a content that is null is none in the template, and tools and documents that were not given are not defined,
 * as in llama.cpp. In transformers it is the other way round.
 * @typedef {TemplateOptions & { nulls?: boolean }} RenderOptions
 */

/**
 * Called when the template yields; resolves to true if rendering is to stop.
 * @typedef {() => Promise<boolean> | boolean} Pause
 */

/** @param {string} url @returns {Promise<Jinja>} */
async function loadJinja(url = ownTemplateUrl()) {
    try {
        return await importOwn(url, 'jinja');
    } catch (error) {
        throw new NibbleError(
            'NB_ERR_ENGINE',
            `cannot load the chat templates' renderer from ${url}: ` +
                `${messageOf(error)}. In a checkout run make build, or tell load() where it is with templateUrl`,
            { cause: error },
        );
    }
}

/**
 * Changes a rendered prompt, such as by the beginning of an answer.
 * @typedef {(text: import('../jinja/text.js').Text, jinja: Jinja) => import('../jinja/text.js').Text} Change
 */

/** @param {ChatModel} model @returns {string} */
export function templateOf(model) {
    if (!model.template)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            model.encoder
                ? 'this model is an encoder, which embeds texts and cannot answer. Use embed() (on the command line: nibble embed)'
                : 'this model has no chat template: it continues text rather than answering. ' +
                      'Use complete() (on the command line: --prompt)',
        );
    return model.template;
}

/**
 * The prompt up to where the model's answer begins, as transformers makes it of these messages and options. (turn.js
 * does what chat() does in addition.)
 * @param {ChatModel} model
 * @param {Message[]} messages checked
 * @param {RenderOptions} [options]
 * @param {Pause} [pause]
 * @param {Change} [change]
 * @returns {Promise<import('../protocol.js').Prompt | null>} null: it was stopped
 */
export async function chatPrompt(model, messages, options = {}, pause = () => false, change = (text) => text) {
    const source = templateOf(model),
        jinja = await loadJinja(model.templateUrl);
    try {
        const template = new jinja.Template(source);
        const rendered = await render(jinja, template, model, messages, options, pause);
        if (!rendered) return null;
        const text = change(rendered, jinja);
        const plain = await plainTokens(jinja, template.literals, model.userDefined(), pause);
        if (!plain) return null;
        const tokens = model.tokenize(text.string, text.marks, plain);
        // many templates write the beginning token themselves
        const begun = model.beginTokens.length > 0 && tokens[0] === model.beginTokens[0];
        return { text: text.string, tokens: begun ? tokens : [...model.beginTokens, ...tokens] };
    } catch (error) {
        throw explained(jinja, error);
    }
}

/**
 * The text alone that a template makes of messages.
 * @param {ChatModel} model
 * @param {Message[]} messages
 * @param {RenderOptions} options
 * @param {Pause} pause
 * @returns {Promise<string | null>} null: it was stopped, or it refuses them
 */
export async function chatText(model, messages, options, pause) {
    const jinja = await loadJinja(model.templateUrl);
    try {
        const text = await render(jinja, new jinja.Template(templateOf(model)), model, messages, options, pause);
        return text?.string ?? null;
    } catch (error) {
        if (error instanceof jinja.TemplateError) return null;
        throw explained(jinja, error);
    }
}

/** @param {Jinja} jinja @param {unknown} error */
function explained(jinja, error) {
    const reason = messageOf(error);
    if (error instanceof jinja.LimitError)
        return new NibbleError(
            'NB_ERR_FORMAT',
            `the model's chat template asks for too much: ${reason}. Use complete() with a prompt of your own`,
            { cause: error },
        );
    if (error instanceof jinja.SyntaxProblem)
        return new NibbleError(
            'NB_ERR_FORMAT',
            `the model's chat template cannot be read: ${reason}. Use complete() with a prompt of your own`,
            { cause: error },
        );
    // some templates raise an error of their own for messages that they do not support: its text says why
    return error instanceof jinja.TemplateError
        ? new NibbleError('NB_ERR_ARGUMENT', `the model's chat template refuses these messages: ${reason}`, {
              cause: error,
          })
        : error;
}

/**
 * A template that looks into a content of parts gets the parts. One that treats it as a text, and would print a list
 * or fail, gets the texts of the parts, joined by line ends as in llama.cpp.
 * @param {Jinja} jinja
 * @param {import('../jinja/interpreter.js').Template} template
 * @param {ChatModel} model
 * @param {Message[]} messages
 * @param {RenderOptions} options
 * @param {Pause} pause
 */
async function render(jinja, template, model, messages, options, pause) {
    const inParts = messages.some(({ content }) => Array.isArray(content));
    const parts = new jinja.Parts();
    try {
        const text = await run(template, variablesOf(jinja, model, messages, options, parts), pause);
        if (!inParts || !text || (parts.seen && !parts.printed)) return text;
    } catch (error) {
        if (!inParts || !(error instanceof jinja.TemplateError)) throw error;
    }
    const joined = messages.map((message) =>
        Array.isArray(message.content) ? { ...message, content: textOf(message.content) } : message,
    );
    return run(template, variablesOf(jinja, model, joined, options, parts), pause);
}

/**
 * @param {import('../jinja/interpreter.js').Template} template
 * @param {Map<string, unknown>} variables
 * @param {Pause} pause
 */
async function run(template, variables, pause) {
    const work = template.render(variables);
    for (;;) {
        const { done, value } = work.next();
        if (done) return value;
        if (await pause()) return null;
    }
}

/** A role that is a word takes part in the template's own text: some write special tokens as <|{{ role }}|>. */
const isWord = (/** @type {unknown} */ role) => /^[\p{L}\p{N}_.-]+$/u.test(String(role));

/**
 * What a template sees, as transformers gives it.
 * @param {Jinja} jinja
 * @param {ChatModel} model
 * @param {Message[]} messages
 * @param {RenderOptions} options
 * @param {InstanceType<Jinja['Parts']>} parts
 */
function variablesOf(
    { CALLER, MODEL, TEMPLATE, dictOf, toValue },
    model,
    messages,
    { addGenerationPrompt = true, tools, documents, templateVariables = {}, nulls = false },
    parts,
) {
    const list = messages.map((message) => {
        const words = message.role === 'assistant' ? MODEL : CALLER;
        return dictOf(
            withReasoning(message, nulls),
            (key, value) => (key === 'role' && isWord(value) ? TEMPLATE : words),
            parts,
        );
    });
    const variables = new Map(
        /** @type {[string, unknown][]} */ ([
            ['bos_token', toValue(model.beginText, TEMPLATE)],
            ['eos_token', toValue(model.endText, TEMPLATE)],
            ['messages', list],
            ['add_generation_prompt', addGenerationPrompt],
        ]),
    );
    // templates test whether these are none
    for (const [name, value] of Object.entries({ tools, documents }))
        if (value !== undefined || !nulls) variables.set(name, toValue(value, CALLER));
    for (const [name, value] of Object.entries(templateVariables)) variables.set(name, toValue(value, CALLER));
    return variables;
}

/** The texts of a content, joined. @param {Message['content']} content @returns {string} */
export const textOf = (content) =>
    Array.isArray(content)
        ? content.map((/** @type {{ text: string }} */ { text }) => text).join('\n')
        : /** @type {string} */ (content ?? '');

/** What the model thought, by any of its names. @param {Record<string, any>} message */
export const reasoningOf = ({ reasoning_content, thinking, reasoning }) => reasoning_content ?? thinking ?? reasoning;

/**
 * Transformers drops what is null (a content beside tool_calls), and knows reasoning by three names.
 * @param {Message} message
 * @param {boolean} nulls whether they are kept
 */
function withReasoning(message, nulls) {
    const kept = Object.fromEntries(
        Object.entries(message).filter(([, value]) => value !== undefined && (nulls || value !== null)),
    );
    const reasoning = reasoningOf(kept);
    return reasoning === undefined ? kept : { thinking: reasoning, ...kept, reasoning_content: reasoning };
}

/**
 * The user-defined tokens that are text in messages: those that the template writes itself, except white space. In
 * the model's own words, those that come in pairs like <think> and </think> stay tokens: they mark parts of an
 * answer, not turns.
 * @param {Jinja} jinja
 * @param {string[]} literals
 * @param {{ token: number, name: string }[]} userDefined
 * @param {Pause} pause
 * @returns {Promise<Plain[] | null>} null: it was stopped
 */
async function plainTokens({ CALLER, MODEL }, literals, userDefined, pause) {
    const isWritten = searcher(literals.join('\0')),
        names = new Set(userDefined.map(({ name }) => name));
    const paired = (/** @type {string} */ name) => {
        const [, slash, tag] = /^<(\/?)([^/<>|]+)>$/.exec(name) ?? [];
        return tag !== undefined && names.has(slash ? `<${tag}>` : `</${tag}>`);
    };
    /** @type {Plain[]} */
    const plain = [];
    for (const [i, { token, name }] of userDefined.entries()) {
        if (i % 64 === 0 && (await pause())) return null;
        if (name.trim() !== '' && isWritten(name))
            plain.push({ token, kinds: paired(name) ? 1 << CALLER : (1 << CALLER) | (1 << MODEL) });
    }
    return plain;
}

/**
 * Tells whether a text has a name in it. Models have thousands of names, of which few occur: most are ruled out by
 * their last characters, without a search.
 * @param {string} text
 * @returns {(name: string) => boolean}
 */
function searcher(text) {
    const LENGTH = 6;
    /** @type {Set<string>} */
    const endings = new Set();
    for (let at = 0; at + LENGTH <= text.length; at++) endings.add(text.slice(at, at + LENGTH));
    return (name) => (name.length < LENGTH || endings.has(name.slice(-LENGTH))) && text.includes(name);
}
