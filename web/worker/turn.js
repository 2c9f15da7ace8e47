/**
 * A turn of a chat: what chat() does around the rendering of the template (chat.js), where models and their templates
 * differ. It goes on from the beginning of an answer, turns thoughts on and off, tells of functions the models whose
 * templates do not, and finds out how the answer will be taken apart (answers/reader.js).
 */
import { grammarOfCalls } from './answers/held-calls.js';
import { closing, THINKING_VARIABLES, thinkingVariables, thoughtMarksOf } from './answers/thoughts.js';
import { toolFormatOf } from './answers/tool-formats.js';
import { chatPrompt, chatText, reasoningOf, templateOf, textOf } from './chat.js';

/** @typedef {import('../index.d.ts').Message} Message */
/** @typedef {import('../options.js').CheckedTurn} CheckedTurn */
/** @typedef {import('./answers/reader.js').AnswerPlan} AnswerPlan */
/** @typedef {import('./answers/thoughts.js').ThoughtMarks} ThoughtMarks */
/** @typedef {import('./answers/tool-formats.js').ToolFormat} ToolFormat */
/** @typedef {import('./chat.js').ChatModel} ChatModel */
/** @typedef {import('./chat.js').Pause} Pause */
/** @typedef {import('../protocol.js').Prompt & { plan: AnswerPlan }} Turn */

/** Texts in a template's code, or the beginning of one: a file's template may be anything, so nothing is read twice. */
const STRINGS = /'(?:\\.|[^'\\])*(?:'|\\?$)|"(?:\\.|[^"\\])*(?:"|\\?$)/gs;

/**
 * The variables that a template reads: its code without texts, and without members of other values.
 * @param {string} template
 */
function variablesIn(template) {
    const code = template
        .replace(/\{#[\s\S]*?(?:#\}|$)/g, '')
        .split(/\{[{%]/)
        .slice(1)
        .map((tag) => tag.split(/[}%]\}/, 1)[0].replace(STRINGS, ' "" '))
        .join('\n');
    return new Set(code.match(/(?<![\w.])[A-Za-z_]\w*/g) ?? []);
}

/** @param {any} tool */
const functionOf = (tool) => tool?.function ?? tool;

/**
 * @param {ChatModel} model
 * @param {Message[]} messages checked
 * @param {Partial<CheckedTurn>} options
 * @param {Pause} [pause]
 * @returns {Promise<Turn | null>} null: it was stopped
 */
export async function chatTurn(model, messages, options, pause = () => false) {
    const template = templateOf(model),
        variables = variablesIn(template),
        thoughts = thoughtMarksOf(template, model.isToken),
        prefix = options.continueFinalMessage ? messages[messages.length - 1] : undefined,
        tools = options.toolChoice === 'none' || !options.tools?.length ? undefined : options.tools,
        format = toolFormatOf(template),
        { callGrammars } = options;
    const given = {
        addGenerationPrompt: options.addGenerationPrompt,
        documents: options.documents,
        templateVariables: { ...thinkingVariables(options.thinking), ...options.templateVariables },
    };
    const told = tell(prefix ? messages.slice(0, -1) : messages, tools, template, variables, format),
        withTools = {
            ...given,
            tools: told.tools,
            templateVariables: { ...told.variables, ...given.templateVariables },
        };
    const list = await withArguments(model, told.messages, withTools, pause);

    /** @type {AnswerPlan['within']} */
    let within = 'start';
    const isEmptied = options.thinking === false && options.addGenerationPrompt !== false,
        obeys = THINKING_VARIABLES.some((name) => variables.has(name));
    /** @type {import('./chat.js').Change} */
    const begin = (text, { joined, Text, TEMPLATE, MODEL }) => {
        const pieces = [text];
        const add = (/** @type {string} */ string, /** @type {number} */ origin) =>
            pieces.push(Text.from(string, origin));
        let isOpen = thoughts !== undefined && opensThought(text, thoughts);
        if (thoughts && isEmptied && (isOpen || (!obeys && template.includes(thoughts.end)))) {
            add((isOpen ? '' : `${thoughts.begin}\n`) + closing(thoughts), TEMPLATE);
            isOpen = false;
        }
        within = isOpen ? 'thought' : 'start';
        if (!prefix) return joined(pieces);
        const reasoning = thoughts && reasoningOf(prefix),
            content = textOf(prefix.content);
        if (thoughts && reasoning) {
            if (!isOpen) add(`${thoughts.begin}\n`, TEMPLATE);
            add(reasoning, MODEL);
            isOpen = true;
            within = 'thought';
        }
        if (content !== '') {
            if (thoughts && isOpen && !content.includes(thoughts.end)) add(closing(thoughts), TEMPLATE);
            add(content, MODEL);
            within =
                thoughts && content.lastIndexOf(thoughts.begin) > content.lastIndexOf(thoughts.end)
                    ? 'thought'
                    : 'text';
        }
        return joined(pieces);
    };
    const prompt = await chatPrompt(model, list, withTools, pause, begin).catch((error) =>
        // some templates take such messages only in the form that llama.cpp gives them
        chatPrompt(model, list.map(withNull), { ...withTools, nulls: true }, pause, begin).catch(() => {
            throw error;
        }),
    );
    const parallel = options.parallelToolCalls !== false,
        functions = (tools ?? []).map(functionOf),
        names = callGrammars?.map(({ name }) => name) ?? functions.map(({ name }) => String(name)),
        schemas = new Map(functions.map(({ name, parameters }) => [String(name), parameters]));
    /** @type {AnswerPlan['held']} */
    let held;
    if (callGrammars) {
        const form = format.form(template),
            several = parallel && typeof options.toolChoice !== 'object';
        held = { form, grammar: grammarOfCalls(form, callGrammars, several) };
    }
    return prompt && { ...prompt, plan: { thoughts, within, format: tools && format, names, schemas, parallel, held } };
}

/** A message of calls alone has the content null, as in OpenAI's API. @param {Message} message */
const withNull = (message) => (message.content === undefined ? { ...message, content: null } : message);

/**
 * Whether the template has ended the prompt with the mark that begins a thought.
 * @param {import('../jinja/text.js').Text} text
 * @param {ThoughtMarks} thoughts
 */
function opensThought(text, { begin }) {
    const end = text.string.trimEnd().length,
        { marks } = text;
    if (!text.string.slice(0, end).endsWith(begin)) return false;
    for (let i = 0; i < marks.length; i += 3) if (marks[i] < end && marks[i + 1] > end - begin.length) return false;
    return true;
}

/**
 * Tells the model of the functions: by the template's variable, by what else it reads, or else in a message. Where the
 * template does not know calls, they and their results become texts.
 * @param {Message[]} messages
 * @param {readonly object[] | undefined} tools
 * @param {string} template
 * @param {Set<string>} variables
 * @param {ToolFormat} format
 * @returns {{ messages: Message[], tools?: readonly object[], variables?: Record<string, unknown> }}
 */
function tell(messages, tools, template, variables, format) {
    const list = template.includes('tool_calls') ? messages : withoutCalls(messages, format);
    if (!tools || variables.has('tools')) return { messages: list, tools };
    if (variables.has('xml_tools')) return { messages: list, variables: { xml_tools: tools } }; // SmolLM3
    if (/message(\.|\[['"])tools\b/.test(template)) {
        // Phi 4 mini: a member of the system message
        const text = JSON.stringify(tools.map(functionOf)),
            [first, ...rest] = list[0]?.role === 'system' ? list : [{ role: 'system', content: '' }, ...list];
        return { messages: [{ ...first, tools: text }, ...rest] };
    }
    return { messages: withIntroduction(list, introduction(tools, format), template) };
}

/** @param {readonly object[]} tools @param {ToolFormat} format */
function introduction(tools, format) {
    const list = tools.map((tool) => JSON.stringify(functionOf(tool))).join('\n'),
        example = format.write({ name: 'NAME', arguments: '{"KEY": "VALUE"}' });
    return (
        `You can call these functions, which are described in JSON:\n${list}\n\n` +
        `To call a function, answer with this and nothing else, once for each call:\n${example}\n` +
        'The results come in the next message. If no function is needed, answer as usual.'
    );
}

/**
 * Puts a text into the system message, or into the first one if the template refuses system messages.
 * @param {Message[]} messages
 * @param {string} text
 * @param {string} template
 */
function withIntroduction(messages, text, template) {
    const [first, ...rest] = messages;
    if (first?.role !== 'system' && !/raise_exception\([^)]{0,200}[Ss]ystem/.test(template))
        return [{ role: 'system', content: text }, ...messages];
    const both = first.role === 'system' ? [textOf(first.content), text] : [text, textOf(first.content)];
    return [{ ...first, content: both.filter(Boolean).join('\n\n') }, ...rest];
}

/**
 * Calls as the texts that they were, and results as messages of the user.
 * @param {Message[]} messages
 * @param {ToolFormat} format
 */
function withoutCalls(messages, format) {
    /** @type {Message[]} */
    const list = [];
    let isResult = false; // the message before
    for (const message of messages) {
        const { tool_calls, ...rest } = message;
        if (message.role === 'tool') {
            const content = `<tool_response>\n${textOf(message.content)}\n</tool_response>`,
                last = list[list.length - 1];
            if (isResult) last.content += `\n${content}`;
            else list.push({ role: 'user', content });
        } else if (Array.isArray(tool_calls) && tool_calls.length > 0) {
            const calls = tool_calls.map((call) => {
                const { name, arguments: values } = functionOf(call);
                return format.write({ name, arguments: typeof values === 'string' ? values : JSON.stringify(values) });
            });
            list.push({ ...rest, content: [textOf(message.content), ...calls].filter(Boolean).join('\n') });
        } else list.push(message);
        isResult = message.role === 'tool';
    }
    return list;
}

const PROBE = 'probed_key';

/**
 * The arguments of calls, which are JSON in OpenAI's messages, as the template wants them: most write an object as
 * JSON, and some join a text to others. A try tells which.
 * @param {ChatModel} model
 * @param {Message[]} messages
 * @param {import('./chat.js').RenderOptions} options
 * @param {Pause} pause
 */
async function withArguments(model, messages, options, pause) {
    const isText = (/** @type {any} */ call) => typeof functionOf(call)?.arguments === 'string';
    if (!messages.some(({ tool_calls }) => Array.isArray(tool_calls) && tool_calls.some(isText))) return messages;
    const call = { id: 'call00000', type: 'function', function: { name: 'f', arguments: { [PROBE]: 'a' } } };
    const tried = [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: '', tool_calls: [call] },
        { role: 'tool', content: 'a', name: 'f', tool_call_id: call.id },
    ];
    const text =
        (await chatText(model, tried, options, pause)) ??
        (await chatText(model, tried, { ...options, nulls: true }, pause));
    if (!text?.includes(PROBE) || text.includes(`'${PROBE}'`)) return messages;
    const parsed = (/** @type {any} */ each) => {
        try {
            const values = JSON.parse(functionOf(each).arguments);
            return each.function
                ? { ...each, function: { ...each.function, arguments: values } }
                : { ...each, arguments: values };
        } catch {
            return each;
        }
    };
    return messages.map((message) =>
        Array.isArray(message.tool_calls)
            ? { ...message, tool_calls: message.tool_calls.map((each) => (isText(each) ? parsed(each) : each)) }
            : message,
    );
}
