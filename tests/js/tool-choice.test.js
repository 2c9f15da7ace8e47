// Answers that must call functions: each form of calls, at a temperature at which a model says anything. ajv says
// whether the arguments are valid.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { AnswerReader } from '../../web/worker/answers/reader.js';
import { TOOL_FORMATS, toolFormatOf } from '../../web/worker/answers/tool-formats.js';
import { models } from '../support/builds.js';
import { openModel } from '../support/chat-engine.js';
import { forced, saying, withTemplate } from '../support/forced.js';
import { nibbleError } from '../support/nibble-error.js';
import { validator } from '../support/schemas.js';

/** @typedef {import('../../web/index.d.ts').ChatOptions} ChatOptions */
/** @typedef {import('../../web/index.d.ts').Model} Model */
/** @typedef {import('../../web/index.d.ts').Result} Result */

const PLACE = {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 4 }, days: { type: 'integer', minimum: 1, maximum: 9 } },
    required: ['city', 'days'],
};
const NUMBERS = {
    // without a type: arguments are an object in any case
    properties: {
        values: { type: 'array', items: { $ref: '#/$defs/digit' }, maxItems: 3 },
        exact: { type: 'boolean' },
    },
    required: ['values'],
    $defs: { digit: { enum: [0, 1, -2.5] } },
};
const tool = (/** @type {string} */ name, /** @type {any} */ parameters) => ({
    type: 'function',
    function: { name, description: 'It helps.', ...(parameters && { parameters }) },
});
const TOOLS = [tool('weather', PLACE), tool('add', NUMBERS), tool('now', undefined)];
const valid = new Map([
    ['weather', validator(PLACE)],
    ['add', validator({ ...NUMBERS, type: 'object' })],
    ['now', validator({ type: 'object', additionalProperties: false })],
]);

/** What templates of the families have, by which their forms are told apart. @type {Record<string, string[]>} */
const WRITTEN = {
    'qwen-coder': ['<function=<parameter='],
    deepseek: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁begin｜>```json'],
    lfm2: ['<|tool_call_start|>'],
    phi: ['<|tool|>', '<|tool_call|>'],
    mistral: ['[TOOL_CALLS]', '[TOOL_CALLS][ARGS]'],
    'gemma-call': ['<start_function_call>', '<|tool_call>'],
    hermes: ['<tool_call>'],
    llama3: ['<|start_header_id|>'],
    gemma: ['<start_of_turn>'],
};

/** @type {ChatOptions} */
const wild = { tools: TOOLS, temperature: 2, topK: 0, topP: 1, minP: 0, maxTokens: 250 };

/** @param {Result} result @returns {{ name: string, arguments: string }[]} */
const callsOf = ({ toolCalls = [] }) => toolCalls.map((call) => call.function);

/** @param {Result} result @param {string} what */
function check(result, what) {
    const calls = callsOf(result);
    for (const { name, arguments: values } of calls)
        assert.equal(valid.get(name)?.(JSON.parse(values)), true, `${what}: ${name} ${values}`);
    if (result.finishReason === 'stop') assert.ok(calls.length > 0 && result.text === '', `${what}: ${result.text}`);
    else assert.equal(result.finishReason, 'length');
}

/** There is one call, of this function if it has a name. @param {Result} result @param {string} [name] */
function only(result, name) {
    check(result, name ?? 'one call');
    const [call, ...others] = callsOf(result);
    assert.deepEqual([call.name, others, result.finishReason], [name ?? call.name, [], 'stop']);
}

test('the forms of all families are tried', () => {
    assert.deepEqual(Object.keys(WRITTEN).sort(), TOOL_FORMATS.map(({ name }) => name).sort());
    for (const [name, all] of Object.entries(WRITTEN))
        for (const written of all) assert.equal(toolFormatOf(written).name, name);
});

/** One model for the templates of all families. */
const opened = openModel({ kind: 'path', path: models.tiny }, { contextLength: 512 });

for (const written of Object.values(WRITTEN).flat())
    test(`calls as a template with ${written} has them`, async () => {
        const template = `{{ messages[0].content }}{% if tools %}:{% endif %}{# ${written} #}`,
            { model, setTemplate } = await opened;
        let whole = 0;
        setTemplate(template);
        {
            // a model that says anything may never end: a bias for what ends the calls makes it end
            const { open, head, tail, between, close } = toolFormatOf(template).form(template),
                end =
                    [...close].find((c, i) => c !== [...(between || head('now'))][i]) ?? model.info.tokenizer?.end ?? 0;
            for (let seed = 0; seed < 4; seed++) {
                const asked = { ...wild, toolChoice: /** @type {const} */ ('required'), seed },
                    result = await model.chat('a', { ...asked, logitBias: [[end, 9]] });
                check(result, `seed ${seed}`);
                if (result.finishReason !== 'stop') continue;
                whole++;
                // what reads answers that need not call finds the same calls in it
                const plan = { within: /** @type {const} */ ('start'), names: [...valid.keys()], parallel: true },
                    reader = new AnswerReader({ ...plan, format: toolFormatOf(template) });
                reader.push(await model.detokenize(result.tokens, { special: true }));
                reader.end();
                const calls = reader.take().toolCalls.map((call) => call.function);
                assert.deepEqual(calls, callsOf(result));
            }
            for (const name of valid.keys())
                only(await model.chat('a', { ...wild, toolChoice: { name }, seed: 1 }), name);
            only(await model.chat('a', { ...wild, toolChoice: 'required', parallelToolCalls: false, seed: 2 }));

            // two calls are allowed, and no other function than the one that is named
            const now = `${head('now')}{}${tail}`,
                text = `\n\n${open}${now}${between}${head('add')}{"values":[1]}${tail}${close}`;
            const two = async (/** @type {ChatOptions} */ options) =>
                model.chat('a', { tools: TOOLS, ...options, ...(await forced(model, text)) });
            assert.deepEqual(callsOf(await two({ toolChoice: 'required' })), [
                { name: 'now', arguments: '{}' },
                { name: 'add', arguments: '{"values":[1]}' },
            ]);
            const none = nibbleError('NB_ERR_ARGUMENT', /no token is left/);
            await assert.rejects(two({ toolChoice: { name: 'add' } }), none);
        }
        assert.ok(whole > 1, `${whole} whole`);
    });

describe('with one model', () => {
    /** @type {Model} */
    let model;
    before(async () => {
        const thinks =
            "{{ messages[0].content }}{% if tools %}:{% endif %}{{ '<think>' if enable_thinking }}{# </think><tool_call> #}";
        model = await load(withTemplate(thinks), { threads: 1, contextLength: 512 });
    });
    after(() => model.dispose());

    test('a thought before the calls is free', async () => {
        const call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>';
        const said = await forced(model, `Let me <tool_call> see.\n</think>\n\n${call}`),
            result = await model.chat('a', { tools: TOOLS, toolChoice: 'required', thinking: true, ...said });
        assert.deepEqual([result.reasoning, result.text], ['Let me <tool_call> see.', '']);
        assert.deepEqual(callsOf(result), [{ name: 'now', arguments: '{}' }]);
        const most = { ...wild, thinking: { maxTokens: 5 }, seed: 3 };
        const ended = await model.chat('a', { ...most, toolChoice: { name: 'weather' } });
        only(ended, 'weather');
        assert.equal(ended.reasoningTokens, 5);
    });

    test('marks within the texts of arguments are texts; a stream has the calls when they are whole', async () => {
        const odd = tool('odd', { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }),
            values = { text: '}]\n</tool_call><think>"\\' },
            called = `<tool_call>\n{"name": "odd", "arguments": ${JSON.stringify(values)}}\n</tool_call>`;
        const said = await forced(model, `${called}\n${called}`),
            generation = model.chat('a', { tools: [odd], toolChoice: 'required', ...said });
        /** @type {any[]} */
        const calls = [];
        let text = '';
        for await (const chunk of generation.chunks()) {
            calls.push(...chunk.toolCalls);
            text += chunk.text;
        }
        assert.deepEqual([calls, text], [(await generation).toolCalls, '']);
        assert.deepEqual(
            calls.map((call) => JSON.parse(call.function.arguments)),
            [values, values],
        );
    });

    test('an answer that is cut off has the calls that are whole', async () => {
        const call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
            cut = '\n<tool_call>\n{"name": "add", "argu';
        for (const [text, calls, rest] of /** @type {[string, number, string][]} */ ([
            [`${call}${cut}`, 1, cut],
            [cut, 0, cut.trimStart()],
            [call.slice(0, -5), 1, ''],
            [`${call}\n`, 1, ''],
        ])) {
            const said = await forced(model, text),
                maxTokens = (await model.tokenize(text, { bare: true })).length,
                result = await model.chat('a', { tools: TOOLS, toolChoice: 'required', ...said, maxTokens });
            assert.deepEqual([callsOf(result).length, result.text, result.finishReason], [calls, rest, 'length'], text);
        }
    });

    test('a mark may be a special token, and may still be written out', async () => {
        const bytes = Buffer.from(
                withTemplate('{{ messages[0].content }}{% if tools %}:{% endif %}{# <|tool_call|> #}'),
            ),
            at = bytes.indexOf('<|endoftext|>');
        bytes.write('<|tool_call|>', at); // token 0
        const special = await load(new Uint8Array(bytes), { threads: 1, contextLength: 512 });
        try {
            const rest = await special.tokenize('[{"name": "now", "arguments": {}}]', { bare: true }),
                written = await special.tokenize('<|tool_call|>', { bare: true });
            assert.ok(written.length > 1);
            for (const mark of [[0], written]) {
                const said = saying(special, [...mark, ...rest]),
                    result = await special.chat('a', { tools: TOOLS, toolChoice: { name: 'now' }, ...said });
                only(result, 'now');
                assert.deepEqual(result.tokens, [...mark, ...rest]);
            }
            for (let seed = 0; seed < 3; seed++)
                only(await special.chat('a', { ...wild, toolChoice: { name: 'weather' }, seed }), 'weather');
        } finally {
            await special.dispose();
        }
    });

    test('what is refused, at the call', () => {
        const not = tool('not', { type: 'object', properties: { a: { type: 'string', not: {} } } }),
            schema = { type: 'object' };
        for (const [options, code, told] of /** @type {[any, any, RegExp][]} */ ([
            [{ toolChoice: 'any' }, 'NB_ERR_ARGUMENT', /toolChoice must be "auto", "none", "required" or \{ name \}/],
            [{ toolChoice: { name: 'a', type: 'b' } }, 'NB_ERR_ARGUMENT', /toolChoice must be/],
            [{ toolChoice: 'required' }, 'NB_ERR_ARGUMENT', /toolChoice "required" needs tools/],
            [{ tools: TOOLS, toolChoice: { name: 'a' } }, 'NB_ERR_ARGUMENT', /not among tools/],
            [{ tools: [{ type: 'function' }], toolChoice: 'required' }, 'NB_ERR_ARGUMENT', /tool 0 has no name/],
            [{ tools: [TOOLS[0], TOOLS[0]], toolChoice: 'required' }, 'NB_ERR_ARGUMENT', /two tools have the name/],
            [{ tools: TOOLS, toolChoice: 'required', schema }, 'NB_ERR_ARGUMENT', /two ways to hold an answer/],
            [
                { tools: TOOLS, toolChoice: { name: 'now' }, grammar: 'root ::= "a"' },
                'NB_ERR_ARGUMENT',
                /two ways to hold an answer/,
            ],
            [
                { tools: [...TOOLS, not], toolChoice: 'required' },
                'NB_ERR_UNSUPPORTED',
                /the function "not": schema: "not" at #\/properties\/a is not supported/,
            ],
            [
                { tools: [tool('text', { type: 'string' })], toolChoice: 'required' },
                'NB_ERR_ARGUMENT',
                /the function "text": schema: no value is valid/,
            ],
        ]))
            assert.throws(() => model.chat('a', options), nibbleError(code, told));
        // a function that is not chosen is not looked at
        assert.doesNotThrow(() => model.chat('a', { tools: [...TOOLS, not], toolChoice: { name: 'now' } }).stop());
    });
});
