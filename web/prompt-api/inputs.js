/**
 * What callers pass, converted and checked as the specification says. Conversions are those of Web IDL: what is no list
 * counts as a text, and what does not fit is a TypeError.
 */
import { regexToGbnf } from '../grammar/regex.js';
import { exception, notSupported } from './errors.js';

/** @typedef {import('./index.d.ts').CreateCoreOptions} CreateCoreOptions */
/** @typedef {import('./index.d.ts').SamplingMode} SamplingMode */
/** @typedef {import('../index.d.ts').RunnableTool} RunnableTool */
/** @typedef {{ type: string, value: unknown }} Content */
/** @typedef {{ role: string, content: Content[], prefix: boolean }} Input a message as it was given */
/** @typedef {{ role: string, content: string }} Message */
/** @typedef {{ mode: SamplingMode | null, topK: number, temperature: number }} Sampling */

const ROLES = ['system', 'user', 'assistant'],
    TYPES = ['text', 'image', 'audio', 'tool-call', 'tool-response'];

/** @param {any} value @returns {value is Iterable<any>} */
const isList = (value) => typeof value === 'object' && value !== null && typeof value[Symbol.iterator] === 'function';

/** @param {any} value @param {string} what @returns {any} */
function dictionary(value, what) {
    if (value !== undefined && value !== null && typeof value !== 'object' && typeof value !== 'function')
        throw new TypeError(`${what} must be an object`);
    return value ?? {};
}

/** @param {unknown} value @param {string[]} choices @param {string} what */
function choice(value, choices, what) {
    if (!choices.includes(String(value))) throw new TypeError(`${what} must be one of ${choices.join(', ')}`);
    return String(value);
}

/** @param {any} value @returns {Content} */
function toContent(value) {
    const part = dictionary(value, 'a part of a content');
    const type = choice(part.type, TYPES, "a part's type");
    if (part.value === undefined) throw new TypeError('a part of a content has no value');
    return { type, value: type === 'text' && Object(part.value) !== part.value ? String(part.value) : part.value };
}

const text = (/** @type {unknown} */ value) => [{ type: 'text', value: String(value) }];

/** @param {any} input @returns {Input[]} */
export function toInputs(input) {
    if (!isList(input)) return [{ role: 'user', content: text(input), prefix: false }];
    return Array.from(input, (each) => {
        const { role, content, prefix } = dictionary(each, 'a message');
        if (content === undefined) throw new TypeError('a message has no content');
        return {
            role: choice(role, ROLES, "a message's role"),
            content: isList(content) ? Array.from(content, toContent) : text(content),
            prefix: Boolean(prefix),
        };
    });
}

/**
 * "Validate and canonicalize a prompt": at least one message, each with one text.
 * @param {Input[]} inputs
 * @param {boolean} begun whether the conversation has messages already
 * @returns {{ messages: Message[], prefix: string | undefined }} prefix: the last message, if the answer goes on from
 *     it
 */
export function checkInputs(inputs, begun) {
    if (inputs.length === 0) return { messages: [{ role: 'user', content: '' }], prefix: undefined };
    const messages = inputs.map(({ role, content, prefix }, i) => {
        if (prefix && (role !== 'assistant' || i < inputs.length - 1))
            throw exception('SyntaxError', "only the last message can be a prefix, and only if it is the assistant's");
        if (role === 'system' && (begun || i > 0))
            throw new TypeError('a system message must be the first message of a session');
        for (const { type, value } of content) {
            if (type !== 'text') throw notSupported(`a message has a part of the type "${type}"`);
            if (typeof value !== 'string') throw new TypeError('a part of the type "text" must have a text');
        }
        return { role, content: content.map(({ value }) => value).join('') };
    });
    const prefix = inputs[inputs.length - 1].prefix ? messages.pop()?.content : undefined;
    return { messages, prefix };
}

/** append() and initialPrompts: where no answer follows, there is none to begin.
 * @param {Input[]} inputs @param {boolean} begun */
export function checkAppended(inputs, begun) {
    const { messages, prefix } = checkInputs(inputs, begun);
    if (prefix !== undefined) throw notSupported('a prefix was given without a prompt');
    return messages;
}

/**
 * What holds an answer, and how the model is told of it.
 * @typedef {{ options: { grammar?: string, schema?: object }, note: string }} Constraint
 */

/** @param {any} options of a prompt @returns {Constraint} */
export function toConstraint(options) {
    const { responseConstraint: given, omitResponseConstraintInput } = options ?? {};
    if (omitResponseConstraintInput && given === undefined)
        throw new TypeError('omitResponseConstraintInput goes with a responseConstraint');
    if (given === undefined || given === null) return { options: {}, note: '' };
    if (typeof given !== 'object') throw new TypeError('responseConstraint must be a JSON schema or a RegExp');
    const isPattern = Object.prototype.toString.call(given) === '[object RegExp]', // also of another frame
        text = isPattern ? String(given) : JSON.stringify(given);
    return {
        options: isPattern ? { grammar: regexToGbnf(given) } : { schema: JSON.parse(text) },
        note: omitResponseConstraintInput
            ? ''
            : isPattern
              ? `\n\nAnswer with a text that matches this regular expression: ${text}`
              : `\n\nAnswer with JSON that is valid under this JSON Schema: ${text}`,
    };
}

/** Messages, of which the user's last one tells of a constraint. @param {Message[]} messages @param {string} note */
export function withNote(messages, note) {
    const last = messages.map(({ role }) => role).lastIndexOf('user');
    return messages.map((message, i) => (i === last ? { ...message, content: message.content + note } : message));
}

/** @param {any} list @param {string} what @returns {any[]} */
export function toList(list, what) {
    if (list === undefined) return [];
    if (!isList(list)) throw new TypeError(`${what} must be a list`);
    return [...list];
}

/** Temperatures of the sampling modes. Top-k, top-p and min-p are nibble's defaults in all of them. */
const TEMPERATURES = {
    'most-predictable': 0,
    predictable: 0.3,
    'slightly-predictable': 0.5,
    balanced: 0.7,
    'slightly-creative': 0.85,
    creative: 1,
    'most-creative': 1.3,
};

export const PARAMS = Object.freeze({ defaultTopK: 40, maxTopK: 128, defaultTemperature: 0.7, maxTemperature: 2 });

/** @param {CreateCoreOptions} options @returns {Sampling} */
export function samplingOf({ samplingMode, topK, temperature }) {
    if (topK === undefined && temperature === undefined) {
        const mode = choice(samplingMode ?? 'balanced', Object.keys(TEMPERATURES), 'samplingMode');
        return {
            mode: /** @type {SamplingMode} */ (mode),
            topK: PARAMS.defaultTopK,
            temperature: TEMPERATURES[/** @type {SamplingMode} */ (mode)],
        };
    }
    if (samplingMode !== undefined)
        throw new TypeError('give either a samplingMode, or a temperature and topK of your own');
    const k = Math.trunc(Number(topK ?? PARAMS.defaultTopK)),
        t = Number(temperature ?? PARAMS.defaultTemperature);
    if (!(k >= 1)) throw new RangeError('topK must be at least 1');
    if (!(t >= 0)) throw new RangeError('temperature must be at least 0');
    return { mode: null, topK: Math.min(k, PARAMS.maxTopK), temperature: Math.min(t, PARAMS.maxTemperature) };
}

/**
 * The functions of a session.
 * @param {CreateCoreOptions} options
 * @returns {RunnableTool[]}
 */
export function toTools({ tools }) {
    const list = toList(tools, 'tools').map((tool) => {
        const { name, description, inputSchema, execute } = dictionary(tool, 'a tool');
        for (const [key, value] of Object.entries({ name, description, inputSchema, execute }))
            if (value === undefined) throw new TypeError(`a tool has no ${key}`);
        if (Object(inputSchema) !== inputSchema) throw new TypeError("a tool's inputSchema must be an object");
        if (typeof execute !== 'function') throw new TypeError("a tool's execute must be a function");
        return {
            name: String(name),
            description: String(description),
            parameters: JSON.parse(JSON.stringify(inputSchema)),
            run: (/** @type {unknown} */ values) => execute(values),
        };
    });
    if (new Set(list.map(({ name }) => name)).size < list.length) throw new TypeError('two tools have the same name');
    return list;
}

/**
 * What is asked for and not supported. Calls and their results are expected only where there are functions to call.
 * @param {CreateCoreOptions} options
 * @param {RunnableTool[]} tools
 * @returns {string | undefined}
 */
export function unsupported({ expectedInputs, expectedOutputs }, tools) {
    let found;
    for (const [name, list, ofTools] of /** @type {const} */ ([
        ['expectedInputs', expectedInputs, 'tool-response'],
        ['expectedOutputs', expectedOutputs, 'tool-call'],
    ]))
        for (const value of toList(list, name)) {
            const { type, languages } = dictionary(value, name);
            const known = choice(type, TYPES, `the type in ${name}`);
            if (known !== 'text' && (known !== ofTools || tools.length === 0))
                found ??= `${name} has the type "${type}"`;
            Intl.getCanonicalLocales(toList(languages, 'languages')); // a RangeError for what is no language tag
        }
    return found;
}
