/**
 * How each family of models writes calls of functions. An entry of the table is one format: what a template of the
 * family has, the marks around calls, and what reads them. The calls are a model's word: what does not parse stays
 * text.
 */
import { json, jsonSequence, put, pythonCalls } from './literals.js';
import { typedValue } from './typed.js';

/** @typedef {import('./held-calls.js').CallForm} CallForm */
/** @typedef {{ name: string, arguments: object }} Call */
/** By the functions' names. @typedef {ReadonlyMap<string, unknown>} Schemas */

/**
 * @typedef {object} ToolFormat
 * @property {string} name for the tests and the documents
 * @property {RegExp} template what a template of the family has
 * @property {string[]} begins marks that begin calls
 * @property {string[]} [marks] the other marks, which may be special tokens: those are not shown otherwise
 * @property {(text: string, begin: string) => number} endOf where calls end that begin with the text; -1 while they
 *     go on. Where no mark ends them, they go on until the answer ends
 * @property {(text: string) => boolean} [mayBegin] whether a text at the beginning of an answer may be calls without
 *     marks
 * @property {(raw: string, begin: string, names: string[], schemas?: Schemas) => Call[] | undefined} parse raw: with
 *     its marks. begin: the mark that it begins with, '' for none. names: of the functions that there are. schemas: of
 *     their arguments, for values that are written without their types
 * @property {(call: { name: string, arguments: string }) => string} write a call as the family writes it, for
 *     templates that do not know calls
 * @property {(template: string) => CallForm} form how calls are written around JSON where an answer must have them. It
 *     is one of those that `parse` reads
 */

/** @param {...string} ends */
const endsWith =
    (...ends) =>
    (/** @type {string} */ text, /** @type {string} */ begin) => {
        const found = ends.map((end) => ({ at: text.indexOf(end, begin.length), end })).filter(({ at }) => at >= 0);
        const first = found.sort((a, b) => a.at - b.at)[0];
        return first ? first.at + first.end.length : -1;
    };

const goesOn = () => -1;

/** @param {string} raw @param {string} begin @param {string[]} ends */
function inside(raw, begin, ends) {
    const body = raw.slice(begin.length).trim(),
        end = ends.find((each) => body.endsWith(each));
    return (end ? body.slice(0, -end.length) : body).trim();
}

/** @param {any} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A call in JSON, by any of the names that models have for its members.
 * @param {any} value
 * @returns {Call | undefined}
 */
function callOf(value) {
    if (!isObject(value)) return undefined;
    const { function: inner } = value,
        name = value.name ?? (isObject(inner) ? inner.name : inner),
        found = value.arguments ?? value.parameters ?? (isObject(inner) ? (inner.arguments ?? inner.parameters) : {}),
        values = typeof found === 'string' ? json(found) : (found ?? {});
    return typeof name === 'string' && name !== '' && isObject(values) ? { name, arguments: values } : undefined;
}

/** @template Item @param {(Item | undefined)[] | undefined} items @returns {Item[] | undefined} all of them, or none */
const all = (items) => (items?.every((item) => item !== undefined) ? /** @type {Item[]} */ (items) : undefined);

/** Calls as JSON objects, one after the other or in an array. @param {string} text */
const jsonCalls = (text) => all(jsonSequence(text)?.flat().map(callOf));

/** A fence of Markdown around calls. @param {string} text */
const withoutFence = (text) => /^```\w*\n([\s\S]*?)\n?```$/.exec(text)?.[1].trim() ?? text;

/** Calls without marks: only of functions that there are, since they might be an answer.
 * @param {Call[] | undefined} calls @param {string[]} names */
const known = (calls, names) => (calls?.every(({ name }) => names.includes(name)) ? calls : undefined);

/** Whether a text is, or may become, a JSON object that begins as a call does. @param {string} text */
const mayBeJsonCall = (text) =>
    text !== '' && (/^\{\s*("[^"]*)?$/.test(text) || /^\{\s*"(name|type|function|parameters|arguments)"/.test(text));

/**
 * Calls as tags: <function=NAME> <parameter=KEY> VALUE </parameter> ... </function>
 * @param {string} text
 * @param {Schemas} [schemas]
 * @returns {Call[] | undefined}
 */
function taggedCalls(text, schemas) {
    /** @type {Call[]} */
    const calls = [];
    const rest = text.replace(/<function=([^>\n]+)>([\s\S]*?)<\/function>/g, (_, written, body) => {
        const name = written.trim();
        /** @type {Record<string, any>} */
        const values = {};
        for (const [, tag, value] of body.matchAll(/<parameter=([^>\n]+)>([\s\S]*?)<\/parameter>/g)) {
            const key = tag.trim(),
                bare = value.replace(/^\n/, '').replace(/\n$/, '');
            put(values, key, typedValue(bare, key, schemas?.get(name)));
        }
        calls.push({ name, arguments: values });
        return '';
    });
    return calls.length > 0 && rest.trim() === '' ? calls : undefined;
}

/** @param {string} raw @returns {Call[] | undefined} */
function deepseekCalls(raw) {
    const parts = raw.split('<｜tool▁call▁begin｜>').slice(1);
    const calls = parts.map((part) => {
        const [, first, rest] = /^([\s\S]*?)<｜tool▁sep｜>([\s\S]*?)<｜tool▁call▁end｜>/.exec(part) ?? [];
        if (first === undefined) return undefined;
        // the older form has the type first, and the name and fenced JSON after it
        const [, name, fenced] = /^([^\n]+)\n```json\n([\s\S]*?)\n?```\s*$/.exec(rest) ?? [first, first, rest];
        return callOf({ name: name.trim(), arguments: json(fenced) ?? '' });
    });
    return calls.length > 0 ? all(calls) : undefined;
}

/** @param {string} raw @returns {Call[] | undefined} */
function mistralCalls(raw) {
    const calls = raw
        .split('[TOOL_CALLS]')
        .slice(1)
        .map((each) => {
            const text = each.trim();
            if (text.startsWith('[')) return jsonCalls(text);
            const [, name, values] =
                /^([\w.-]+)(?:\s*\[CALL_ID\][\w-]*)?(?:\s*\[ARGS\])?\s*(\{[\s\S]*)$/.exec(text) ?? [];
            return name === undefined ? undefined : all([callOf({ name, arguments: json(values) ?? '' })]);
        });
    return all(calls)?.flat();
}

/** @param {string} raw @param {string} begin @param {string[]} names @returns {Call[] | undefined} */
function llamaCalls(raw, begin, names) {
    if (begin === '<function=') {
        const [mark, name] = /^<function=([^>\n]+)>/.exec(raw) ?? [];
        if (mark === undefined) return undefined;
        return all([callOf({ name, arguments: json(inside(raw, mark, ['</function>'])) ?? '' })]);
    }
    const text = raw.slice(begin.length).trim();
    if (begin === '') return known(jsonCalls(text), names);
    // functions that Llama knows by itself are called as name.call(key="value")
    return jsonCalls(text) ?? pythonCalls(text)?.map((call) => ({ ...call, name: call.name.replace(/\.call$/, '') }));
}

/**
 * Gemma's later forms: call:NAME{key:VALUE,...}, where texts stand between two quotes of their own.
 * @param {string} text
 * @param {string} quote
 * @returns {Call[] | undefined}
 */
function bracedCalls(text, quote) {
    const [, name, body] = /^call:\s*([\w.-]+)\s*(\{[\s\S]*\})$/.exec(text.trim()) ?? [];
    if (name === undefined) return undefined;
    // texts become JSON's, and keys get their quotes
    const written = body
        .split(quote)
        .map((part, i) => (i % 2 === 1 ? JSON.stringify(part) : part.replace(/([{,]\s*)([\w.-]+)\s*:/g, '$1"$2":')))
        .join('');
    return all([callOf({ name, arguments: json(written) ?? '' })]);
}

const quoted = (/** @type {string} */ name) => JSON.stringify(name);

/**
 * The form of calls that are JSON objects.
 * @param {string} begin
 * @param {string} end
 * @param {Partial<CallForm> & { key?: string }} [rest] key: the name of the arguments
 * @returns {() => CallForm}
 */
const objects = (begin, end, { key = 'arguments', open = '', close = '', between = '' } = {}) => {
    const head = (/** @type {string} */ name) => `${begin}{"name": ${quoted(name)}, "${key}": `;
    return () => ({ open, head, tail: `}${end}`, between, close });
};

const inTags = objects('<tool_call>\n', '\n</tool_call>', { between: '\n' });

/** A list of such objects. @param {string} begin @param {string} end */
const list = (begin, end) => objects('', '', { open: `${begin}[`, close: `]${end}`, between: ', ' });

/** @param {boolean} isOld before V3.1 @returns {CallForm} */
const deepseekForm = (isOld) => ({
    open: '<｜tool▁calls▁begin｜>',
    head: (name) =>
        isOld
            ? `<｜tool▁call▁begin｜>function<｜tool▁sep｜>${name}\n\`\`\`json\n`
            : `<｜tool▁call▁begin｜>${name}<｜tool▁sep｜>`,
    tail: `${isOld ? '\n```' : ''}<｜tool▁call▁end｜>`,
    between: isOld ? '\n' : '',
    close: '<｜tool▁calls▁end｜>',
});

/**
 * Writes a call in a form.
 * @param {CallForm} form
 * @returns {ToolFormat['write']}
 */
const inForm =
    ({ open, head, tail, close }) =>
    ({ name, arguments: values }) =>
        `${open}${head(name)}${values}${tail}${close}`;

/** The first entry whose family a template belongs to counts. @type {ToolFormat[]} */
export const TOOL_FORMATS = [
    {
        name: 'qwen-coder',
        template: /^(?=[\s\S]*<function=)(?=[\s\S]*<parameter=)/,
        begins: ['<tool_call>', '<function='],
        marks: ['</tool_call>'],
        endOf: (text, begin) => endsWith(begin === '<tool_call>' ? '</tool_call>' : '</function>')(text, begin),
        parse(raw, begin, _, schemas) {
            if (begin !== '<tool_call>') return taggedCalls(raw, schemas);
            const text = inside(raw, begin, ['</tool_call>']);
            return taggedCalls(text, schemas) ?? jsonCalls(text);
        },
        write: ({ name, arguments: values }) =>
            `<tool_call>\n<function=${name}>\n${Object.entries(json(values) ?? {})
                .map(
                    ([key, value]) =>
                        `<parameter=${key}>\n${typeof value === 'string' ? value : JSON.stringify(value)}\n</parameter>\n`,
                )
                .join('')}</function>\n</tool_call>`,
        form: inTags,
    },
    {
        name: 'deepseek', // R1, V3, V3.1
        template: /<｜tool▁calls▁begin｜>/,
        begins: ['<｜tool▁calls▁begin｜>', '<｜tool▁call▁begin｜>'],
        marks: ['<｜tool▁sep｜>', '<｜tool▁call▁end｜>', '<｜tool▁calls▁end｜>'],
        endOf: endsWith('<｜tool▁calls▁end｜>'),
        parse: deepseekCalls,
        write: inForm(deepseekForm(true)),
        form: (template) => deepseekForm(template.includes('```json')),
    },
    {
        name: 'lfm2',
        template: /<\|tool_(call|list)_start\|>/,
        begins: ['<|tool_call_start|>'],
        marks: ['<|tool_call_end|>'],
        endOf: endsWith('<|tool_call_end|>'),
        parse: (raw, begin) => {
            const text = inside(raw, begin, ['<|tool_call_end|>']);
            return /^(\[\s*)?\{/.test(text) ? jsonCalls(text) : pythonCalls(text);
        },
        write: inForm(list('<|tool_call_start|>', '<|tool_call_end|>')()),
        form: list('<|tool_call_start|>', '<|tool_call_end|>'),
    },
    {
        name: 'phi', // Phi 4 mini; Granite, which has no mark at the end
        template: /<\|tool_call\|>|<\|tool\|>/,
        begins: ['<|tool_call|>', 'functools['],
        marks: ['<|/tool_call|>'],
        endOf: (text, begin) => (begin === 'functools[' ? -1 : endsWith('<|/tool_call|>')(text, begin)),
        parse: (raw, begin) =>
            jsonCalls(begin === 'functools[' ? raw.slice('functools'.length) : inside(raw, begin, ['<|/tool_call|>'])),
        write: inForm(list('<|tool_call|>', '<|/tool_call|>')()),
        form: (template) => list('<|tool_call|>', template.includes('<|tool|>') ? '<|/tool_call|>' : '')(),
    },
    {
        name: 'mistral',
        template: /\[TOOL_CALLS\]|\[AVAILABLE_TOOLS\]/,
        begins: ['[TOOL_CALLS]'],
        marks: ['[CALL_ID]', '[ARGS]'],
        endOf: goesOn,
        parse: mistralCalls,
        write: inForm(list('[TOOL_CALLS]', '')()),
        form: (template) =>
            template.includes('[ARGS]')
                ? { open: '', head: (name) => `[TOOL_CALLS]${name}[ARGS]`, tail: '', between: '', close: '' }
                : list('[TOOL_CALLS]', '')(),
    },
    {
        name: 'gemma-call', // FunctionGemma, Gemma 4
        template: /<start_function_call>|<\|tool_call>/,
        begins: ['<start_function_call>', '<|tool_call>'],
        marks: ['<end_function_call>', '<tool_call|>', '<escape>', '<|"|>'],
        endOf: endsWith('<end_function_call>', '<tool_call|>'),
        parse: (raw, begin) =>
            bracedCalls(
                inside(raw, begin, ['<end_function_call>', '<tool_call|>']),
                begin === '<|tool_call>' ? '<|"|>' : '<escape>',
            ),
        write: ({ name, arguments: values }) =>
            `<start_function_call>call:${name}${values.replace(/"([^"\\]*)"\s*:/g, '$1:').replaceAll('"', '<escape>')}<end_function_call>`,
        form: (template) => {
            const [begin, end] = template.includes('<|tool_call>')
                ? ['<|tool_call>', '<tool_call|>']
                : ['<start_function_call>', '<end_function_call>'];
            return { open: '', head: (name) => `${begin}call:${name}`, tail: end, between: '', close: '' };
        },
    },
    {
        name: 'hermes', // Qwen 2.5 and 3, Hermes, SmolLM3
        template: /<tool_call>/,
        begins: ['<tool_call>'],
        marks: ['</tool_call>'],
        endOf: endsWith('</tool_call>'),
        parse: (raw, begin, _, schemas) => {
            const text = inside(raw, begin, ['</tool_call>']);
            return jsonCalls(withoutFence(text)) ?? taggedCalls(text, schemas);
        },
        write: inForm(inTags()),
        form: inTags,
    },
    {
        name: 'llama3', // Llama 3.1, 3.2, 3.3
        template: /<\|start_header_id\|>|<\|python_tag\|>/,
        begins: ['<|python_tag|>', '<function='],
        endOf: (text, begin) => (begin === '<function=' ? endsWith('</function>')(text, begin) : -1),
        mayBegin: mayBeJsonCall,
        parse: llamaCalls,
        write: inForm(objects('', '', { key: 'parameters' })()),
        form: objects('', '', { key: 'parameters', between: '; ' }),
    },
    {
        name: 'gemma', // Gemma 3, as its documentation asks it to write calls
        template: /<start_of_turn>/,
        begins: ['```tool_code', '```json', '```python'],
        endOf: endsWith('```'),
        mayBegin: (text) =>
            /^\[(\s*|\s*[A-Za-z_][\w.]*\s*|\s*[A-Za-z_][\w.]*\s*\([\s\S]*)$/.test(text) || mayBeJsonCall(text),
        parse: (raw, begin, names) => {
            const text = begin === '' ? raw.trim() : withoutFence(raw.trim());
            return known(/^(\[\s*)?\{/.test(text) ? jsonCalls(text) : pythonCalls(text), names);
        },
        write: ({ name, arguments: values }) =>
            `[${name}(${Object.entries(json(values) ?? {})
                .map(([key, value]) => `${key}=${python(value)}`)
                .join(', ')})]`,
        form: objects('', '', { key: 'parameters', between: '\n' }),
    },
];

/** A value as Python writes it. @param {any} value @returns {string} */
function python(value) {
    if (value === null) return 'None';
    if (value === true) return 'True';
    if (value === false) return 'False';
    if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
    if (isObject(value))
        return `{${Object.entries(value)
            .map(([key, item]) => `${JSON.stringify(key)}: ${python(item)}`)
            .join(', ')}}`;
    return JSON.stringify(value);
}

/** What models are told of that know no format of their own, as many know it. */
const COMMON = /** @type {ToolFormat} */ (TOOL_FORMATS.find(({ name }) => name === 'hermes'));

/** @param {string} template */
export const toolFormatOf = (template) => TOOL_FORMATS.find((format) => format.template.test(template)) ?? COMMON;
