// What a model thinks and which functions it calls, taken out of its answer: each family's form of calls, whole and in
// pieces. The cases have the meanings of llama.cpp's tests of chats (tests/test-chat.cpp), in words of our own.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pythonCalls } from '../../web/worker/answers/literals.js';
import { AnswerReader } from '../../web/worker/answers/reader.js';
import { thoughtMarksOf } from '../../web/worker/answers/thoughts.js';
import { TOOL_FORMATS, toolFormatOf } from '../../web/worker/answers/tool-formats.js';
import { Output } from '../../web/worker/output.js';

/** @typedef {import('../../web/worker/answers/reader.js').AnswerPlan} AnswerPlan */
/** @typedef {{ text: string, reasoning: string, calls: [string, any][] }} Taken */

const THINK = { begin: '<think>', end: '</think>' };

/** Takes an answer apart that comes in pieces of n characters. @param {string} answer @param {Partial<AnswerPlan>} plan
 * @param {number} n @returns {Taken} */
function taken(answer, plan, n = answer.length) {
    const reader = new AnswerReader({ within: 'start', names: ['weather', 'add'], parallel: true, ...plan });
    /** @type {Taken} */
    const all = { text: '', reasoning: '', calls: [] };
    const take = () => {
        const { text, reasoning, toolCalls } = reader.take();
        all.text += text;
        all.reasoning += reasoning;
        for (const { id, type, function: called } of toolCalls) {
            assert.match(id, /^[A-Za-z0-9]{9}$/);
            assert.equal(type, 'function');
            all.calls.push([called.name, JSON.parse(called.arguments)]);
        }
    };
    for (let at = 0; at < answer.length; at += n) {
        reader.push(answer.slice(at, at + n));
        take();
    }
    reader.end();
    take();
    return all;
}

/** However the answer is cut into pieces. @param {string} answer @param {Partial<AnswerPlan>} plan @param {Partial<Taken>}
 * wanted */
function check(answer, plan, wanted) {
    for (const n of [Math.max(1, answer.length), 1, 2, 3, 7])
        assert.deepEqual(
            taken(answer, plan, n),
            { text: '', reasoning: '', calls: [], ...wanted },
            `in pieces of ${n}`,
        );
}

const format = (/** @type {string} */ name) => {
    const found = TOOL_FORMATS.find((each) => each.name === name);
    assert.ok(found, name);
    return found;
};

describe('thoughts', () => {
    const plan = { thoughts: THINK };
    test('before the answer, which the model begins or the prompt has begun', () => {
        check('<think>\nLet me see.\n</think>\n\nFour.', plan, { reasoning: 'Let me see.', text: 'Four.' });
        check('\n<think>a b </think>c', plan, { reasoning: 'a b', text: 'c' });
        check(
            '\nLet me\n\nsee.\n</think>\n\nFour.\n',
            { ...plan, within: 'thought' },
            {
                reasoning: 'Let me\n\nsee.',
                text: 'Four.\n',
            },
        );
        check('<think>\n\n</think>\n\nYes', plan, { text: 'Yes' });
        check('<think>only begun', plan, { reasoning: 'only begun' });
        check('never ended </thi', { ...plan, within: 'thought' }, { reasoning: 'never ended </thi' });
    });
    test('none: the text stays as it is', () => {
        for (const answer of ['Four.', ' Four', 'a <think>b</think>', '<thin', '</think>', '', '\n\n', '<b>'])
            check(answer, plan, { text: answer });
        check('<think>a</think>', {}, { text: '<think>a</think>' });
        check('b</think>', { ...plan, within: 'text' }, { text: 'b</think>' });
    });
    test('by the template, or by the vocabulary', () => {
        const none = () => false;
        assert.deepEqual(thoughtMarksOf("{{ content.split('</think>')[-1] }}", none), THINK);
        assert.deepEqual(
            thoughtMarksOf('{{ messages }}', (name) => /think>$/.test(name) && !/seed/.test(name)),
            THINK,
        );
        assert.equal(thoughtMarksOf('[THINK]', none)?.end, '[/THINK]');
        assert.equal(thoughtMarksOf('{{ messages }}', none), undefined);
        assert.equal(
            thoughtMarksOf('{{ messages }}', (name) => name === '<think>'),
            undefined,
        );
    });
});

/** A call, and how each family writes it. */
const PARIS = /** @type {[string, any]} */ (['weather', { city: 'Paris', days: 2 }]),
    SUM = /** @type {[string, any]} */ (['add', { values: [1, -2.5], exact: true, note: null }]);
const json = (/** @type {[string, any]} */ [name, values], key = 'arguments') =>
    JSON.stringify({ name, [key]: values });
const paris = json(PARIS),
    sum = json(SUM);

/** @type {Record<string, [string, [string, any][], string?][]>} the answer, its calls, its text */
const CALLS = {
    hermes: [
        [`<tool_call>\n${paris}\n</tool_call>`, [PARIS]],
        [
            `Let me look.\n\n<tool_call>\n${paris}\n</tool_call>\n<tool_call>\n${sum}\n</tool_call>`,
            [PARIS, SUM],
            'Let me look.',
        ],
        [`<tool_call>[${paris}, ${sum}]</tool_call>`, [PARIS, SUM]],
        [`<tool_call>${paris}`, [PARIS]], // the end of the answer is its end
        [`<tool_call>\n\`\`\`json\n${paris}\n\`\`\`\n</tool_call>`, [PARIS]],
        [
            '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}</tool_call>',
            [['weather', { city: 'Paris' }]],
        ],
        ['<tool_call>{"name": "weather"}</tool_call>', [['weather', {}]]],
        ['<tool_call>{"name": "other", "arguments": {}}</tool_call> after', [['other', {}]], 'after'],
    ],
    'qwen-coder': [
        [
            '<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n' +
                '</function>\n</tool_call>',
            [PARIS],
        ],
        [
            '<function=weather>\n<parameter=city>\na\nb <c>\n</parameter>\n</function>',
            [['weather', { city: 'a\nb <c>' }]],
        ],
        [`<tool_call>\n${paris}\n</tool_call>`, [PARIS]],
    ],
    llama3: [
        [json(PARIS, 'parameters'), [PARIS]],
        [`\n ${json(PARIS, 'parameters')}\n`, [PARIS]],
        [`{"type": "function", "name": "weather", "parameters": {"city": "Paris", "days": 2}}`, [PARIS]],
        [`{"type": "function", "function": ${paris}}`, [PARIS]],
        [`${json(PARIS, 'parameters')}; ${json(SUM, 'parameters')}`, [PARIS, SUM]],
        [`<|python_tag|>${json(PARIS, 'parameters')}`, [PARIS]],
        ['<|python_tag|>brave_search.call(query="the weather")', [['brave_search', { query: 'the weather' }]]],
        ['<function=weather>{"city": "Paris", "days": 2}</function>', [PARIS]],
    ],
    mistral: [
        [`[TOOL_CALLS][${paris.replace(/}$/, ', "id": "123456789"}')}]`, [PARIS]],
        [`[TOOL_CALLS] [${paris}, ${sum}]`, [PARIS, SUM]],
        ['Look: [TOOL_CALLS]weather[ARGS]{"city": "Paris", "days": 2}', [PARIS], 'Look:'],
        [
            '[TOOL_CALLS]weather[CALL_ID]abcdefghi[ARGS]{"city": "Paris", "days": 2}[TOOL_CALLS]add{"a": 1}',
            [PARIS, ['add', { a: 1 }]],
        ],
    ],
    phi: [
        [`<|tool_call|>[${paris}]<|/tool_call|>`, [PARIS]],
        [`<|tool_call|>${paris}<|/tool_call|><|tool_call|>${sum}<|/tool_call|>`, [PARIS, SUM]],
        [`<|tool_call|>[${paris}]`, [PARIS]],
        [`functools[${paris}, ${sum}]`, [PARIS, SUM]],
    ],
    lfm2: [
        ['<|tool_call_start|>[weather(city="Paris", days=2)]<|tool_call_end|>Looking.', [PARIS], 'Looking.'],
        [
            "<|tool_call_start|>[weather(city='Paris', days=2), add(values=[1, -2.5], exact=True, note=None)]<|tool_call_end|>",
            [PARIS, SUM],
        ],
        [`<|tool_call_start|>[${paris}]<|tool_call_end|>`, [PARIS]],
    ],
    deepseek: [
        [
            '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{"city": "Paris", "days": 2}\n```' +
                '<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a": 1}\n```<｜tool▁call▁end｜>' +
                '<｜tool▁calls▁end｜>',
            [PARIS, ['add', { a: 1 }]],
        ],
        [
            'Hm. <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Paris", "days": 2}<｜tool▁call▁end｜>' +
                '<｜tool▁calls▁end｜>',
            [PARIS],
            'Hm.',
        ],
    ],
    gemma: [
        ['[weather(city="Paris", days=2)]', [PARIS]],
        ['```tool_code\nweather(city="Paris", days=2)\n```', [PARIS]],
        [`\`\`\`json\n${json(PARIS, 'parameters')}\n\`\`\``, [PARIS]],
        [json(PARIS, 'parameters'), [PARIS]],
    ],
    'gemma-call': [
        ['<start_function_call>call:weather{city:<escape>Paris<escape>,days:2}<end_function_call>', [PARIS]],
        ['<|tool_call>call:weather{city:<|"|>Paris<|"|>,days:2}<tool_call|>', [PARIS]],
        ['<|tool_call>call:add{values:[1,-2.5],exact:true,note:null}<tool_call|>', [SUM]],
        [
            '<|tool_call>call:weather{city:<|"|>a {b: c}, "d"<|"|>}<tool_call|>',
            [['weather', { city: 'a {b: c}, "d"' }]],
        ],
    ],
};

describe('calls of functions', () => {
    test('each format has cases', () => {
        assert.deepEqual(Object.keys(CALLS).sort(), TOOL_FORMATS.map(({ name }) => name).sort());
    });
    for (const [name, cases] of Object.entries(CALLS))
        test(name, () => {
            for (const [answer, calls, text = ''] of cases) check(answer, { format: format(name) }, { calls, text });
        });

    test('each format reads what it writes', () => {
        for (const each of TOOL_FORMATS) {
            const text = each.write({ name: 'weather', arguments: JSON.stringify(PARIS[1]) });
            check(text, { format: each }, { calls: [PARIS] });
        }
    });

    test('after a thought', () => {
        check(
            `<think>\nI should.\n</think>\n\n<tool_call>${paris}</tool_call>`,
            { thoughts: THINK, format: format('hermes') },
            {
                reasoning: 'I should.',
                calls: [PARIS],
            },
        );
    });

    test('what is malformed stays text, and nothing throws', () => {
        /** @type {Record<string, string[]>} */
        const wrong = {
            hermes: [
                '<tool_call>{"name": "weather", "arguments": {</tool_call>',
                '<tool_call>weather</tool_call>',
                '<tool_call>{"name": 1, "arguments": {}}</tool_call>',
                '<tool_call>{"name": "weather", "arguments": 7}</tool_call> after',
                '<tool_call>',
                '<tool_call>{"name": "weath',
                'a <tool_ca',
                'Hello.\n\n<tool_call>weather</tool_call>',
                '<tool_call></tool_call>',
            ],
            'qwen-coder': [
                '<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</tool_call>',
                '<function=weather>',
            ],
            llama3: [
                '{"name": "unknown", "parameters": {}}',
                '{"city": "Paris"}',
                '{"name": "weather"',
                '{',
                '<|python_tag|>print(1)',
                'a {"name": "weather", "parameters": {}}',
                '{"name": "Ann", "age": 7} is JSON.',
            ],
            mistral: ['[TOOL_CALLS]weather', '[TOOL_CALLS][{"name": "weather"', '[TOOL_CALLS]weather[ARGS]{"a": }'],
            phi: ['functools[1]', `<|tool_call|>${paris}, <|/tool_call|>x`.replace('}}', '}')],
            lfm2: [
                '<|tool_call_start|>[weather(city=)]<|tool_call_end|>',
                '<|tool_call_start|>[weather("Paris")]<|tool_call_end|>',
            ],
            deepseek: [
                '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\n```<｜tool▁calls▁end｜>',
            ],
            gemma: [
                '[1, 2]',
                '[unknown(a=1)]',
                '[weather]',
                '```json\n{"a": 1}\n```\nThat is all.',
                '[weather(a=1)] is a call',
            ],
            'gemma-call': ['<|tool_call>weather<tool_call|>', '<|tool_call>call:weather{city:Paris}<tool_call|>'],
        };
        assert.deepEqual(Object.keys(wrong).sort(), Object.keys(CALLS).sort());
        for (const [name, answers] of Object.entries(wrong))
            for (const answer of answers) check(answer, { format: format(name) }, { text: answer });
    });

    test('a text that only begins as a call does is shown as soon as that is known', () => {
        const shown = (/** @type {string} */ name, /** @type {string} */ text) => {
            const reader = new AnswerReader({
                within: 'start',
                names: ['weather'],
                parallel: true,
                format: format(name),
            });
            reader.push(text);
            return reader.take().text;
        };
        assert.equal(shown('hermes', 'a <tool_box'), 'a <tool_box');
        assert.equal(shown('hermes', 'a <tool_'), 'a');
        assert.equal(shown('llama3', '{"city": '), '{"city":');
        assert.equal(shown('llama3', '{"name": '), '');
        assert.equal(shown('gemma', '[weather, '), '[weather,');
        assert.equal(shown('gemma', '[weather(a'), '');
    });

    test('a call that is long or deep is read, or stays text, quickly', () => {
        const spaces = ' '.repeat(50_000),
            deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
            start = process.cpuUsage();
        for (const [name, answer] of [
            ['hermes', `<tool_call>{"name": "weather", "arguments": {"city": ${deep}}}</tool_call>`],
            ['mistral', `[TOOL_CALLS]weather${spaces}x`],
            ['mistral', `[TOOL_CALLS]weather[ARGS]{"city": ${deep}}`],
            ['llama3', `<function=weather>${spaces}x`],
        ])
            assert.deepEqual(taken(answer, { format: format(name) }), { text: answer, reasoning: '', calls: [] });
        const { user } = process.cpuUsage(start);
        assert.ok(user < 1e6, `it took ${user / 1e6} s`);
    });

    test('only one call, if there may be only one', () => {
        const plan = { format: format('hermes'), parallel: false };
        const reader = new AnswerReader({ within: 'start', names: [], ...plan });
        reader.push(`<tool_call>${paris}</tool_call>`);
        assert.ok(reader.isOver);
        check(`<tool_call>[${paris}, ${sum}]</tool_call>`, plan, { calls: [PARIS] });
    });

    test('the format by what the template has', () => {
        for (const [template, name] of [
            ["{{ '<tool_call>' }}", 'hermes'],
            ["{{ '<tool_call>\\n<function=' + name + '>\\n<parameter=' }}", 'qwen-coder'],
            ["{{ '<|start_header_id|>' }}", 'llama3'],
            ["{{ '[AVAILABLE_TOOLS]' }}", 'mistral'],
            ["{{ '<|tool|>' }}", 'phi'],
            ["{{ '<|tool_list_start|>' }}", 'lfm2'],
            ["{{ '<｜tool▁calls▁begin｜>' }}", 'deepseek'],
            ["{{ '<start_of_turn>' }}", 'gemma'],
            ["{{ '<start_of_turn>' }}{{ '<start_function_call>' }}", 'gemma-call'],
            ["{{ '<|im_start|>' }}", 'hermes'],
        ])
            assert.equal(toolFormatOf(template).name, name, template);
    });
});

test("values that are written bare have the types of their function's schema", () => {
    /** @type {any} */
    const parameters = {
        properties: {
            text: { type: 'string' },
            whole: { type: 'integer' },
            number: { type: 'number' },
            flag: { type: 'boolean' },
            list: { type: 'array' },
            maybe: { type: ['string', 'null'] },
            either: { anyOf: [{ type: 'number' }, { type: 'string' }] },
            unit: { enum: ['1', '2'] },
            level: { enum: [1, 2] },
            fixed: { const: '7' },
            referred: { $ref: '#/$defs/a~1b' },
            all: { allOf: [{ description: 'it' }, { $ref: '#/$defs/a~1b' }] },
            round: { $ref: '#/$defs/round' },
            open: { description: 'anything' },
            some: { anyOf: [{ type: 'string' }, {}] },
            away: { $ref: 'https://example.org/schema' },
            none: { type: 'null' },
        },
        $defs: { 'a/b': { type: 'string' }, round: { anyOf: Array(50).fill({ $ref: '#/$defs/round' }) } },
    };
    const format = TOOL_FORMATS.find(({ name }) => name === 'qwen-coder');
    const start = process.cpuUsage();
    for (const [key, text, value] of /** @type {[string, string, any][]} */ ([
        ['text', '75001', '75001'],
        ['text', 'true', 'true'],
        ['text', 'null', 'null'],
        ['text', '"quoted"', '"quoted"'],
        ['text', '{"a": 1}', '{"a": 1}'],
        ['text', 'a\nb', 'a\nb'],
        ['whole', '3', 3],
        ['whole', 'three', 'three'],
        ['number', '3', 3],
        ['number', '2.5', 2.5],
        ['flag', 'true', true],
        ['flag', 'False', false],
        ['list', '[1, "2"]', [1, '2']],
        ['maybe', 'null', null],
        ['maybe', '12', '12'],
        ['either', '12', 12],
        ['either', 'twelve', 'twelve'],
        ['unit', '1', '1'],
        ['level', '1', 1],
        ['fixed', '7', '7'],
        ['referred', '7', '7'],
        ['all', '7', '7'],
        ['none', 'None', null],
        // no schema says what these are
        ['round', '7', 7],
        ['open', '7', 7],
        ['some', '7', 7],
        ['away', '7', 7],
        ['constructor', '7', 7],
        ['open', 'seven', 'seven'],
    ])) {
        const answer = `<tool_call>\n<function=f>\n<parameter=${key}>\n${text}\n</parameter>\n</function>\n</tool_call>`;
        for (const [raw, begin] of [
            [answer, '<tool_call>'],
            [answer.split('\n').slice(1, -1).join('\n'), '<function='],
        ])
            assert.deepEqual(
                format?.parse(raw, begin, ['f'], new Map([['f', parameters]])),
                [{ name: 'f', arguments: { [key]: value } }],
                `${key}: ${text}`,
            );
    }
    const { user } = process.cpuUsage(start);
    assert.ok(user < 1e6, `it took ${user / 1e6} s`);
});

test('a thought that may begin within the tokens of one call is not longer than its limit', () => {
    /** @type {any} */
    const decoder = { push: (/** @type {number} */ token) => String.fromCharCode(token), flush: () => '' },
        stops = /** @type {any} */ ({
            push: (/** @type {string} */ text) => ({ text, found: false }),
            flush: () => '',
        });
    for (const [answer, most, thought] of /** @type {[string, number, number][]} */ ([
        [`<think>${'a'.repeat(50)}`, 5, 5],
        [`<think>${'a'.repeat(50)}`, 20, 20],
        [`\n\n<think>${'a'.repeat(50)}`, 1, 1],
        [`<think>${'a'.repeat(50)}`, 0, 1], // its mark is whole with a token, which is seen then
        ['b'.repeat(50), 5, 0],
    ])) {
        const plan = /** @type {any} */ ({ thoughts: THINK, within: 'start', names: [], parallel: true });
        const taking = { reader: new AnswerReader(plan), marks: new Map(), closing: [], most };
        const output = new Output(decoder, stops, () => {}, false, taking);
        let at = 0;
        while (at < answer.length && output.thoughtLeft > 0)
            for (let count = Math.min(32, output.thoughtLeft, answer.length - at); count > 0; count--)
                output.push(answer.charCodeAt(at++));
        assert.equal(output.thoughtTokens, thought, `${answer}, at most ${most}`);
        assert.ok(thought > 0 || at === answer.length);
    }
});

test("Python's literals", () => {
    const value = (/** @type {string} */ text) => pythonCalls(`f(x=${text})`)?.[0].arguments.x;
    for (const [text, wanted] of /** @type {[string, any][]} */ ([
        ['1', 1],
        ['-2.5e3', -2500],
        ['.5', 0.5],
        ['1_000', 1000],
        ['True', true],
        ['None', null],
        ['"a\\n\\"b\\""', 'a\n"b"'],
        ["'it\\'s \\u00e9\\x41'", "it's \u00e9A"],
        ['"""a "b"\nc"""', 'a "b"\nc'],
        ['"a" "b"', 'ab'],
        ['"\\d"', '\\d'],
        ['[1, "b", [None]]', [1, 'b', [null]]],
        ['(1, 2,)', [1, 2]],
        ['{"a": {"b": 1}, 2: 3}', { a: { b: 1 }, 2: 3 }],
        ['[]', []],
        ['{}', {}],
    ]))
        assert.deepEqual(value(text), wanted, text);
    for (const text of ['', 'a', '1 2', '"a', '[1', '{1}', '"\\ud83', 'g()', '[1 2]', '__import__', '9'.repeat(400)])
        assert.equal(value(text), undefined, text);
    assert.equal(pythonCalls(`f(x=${'['.repeat(5000)}`), undefined);
    assert.deepEqual(pythonCalls('a.b(__proto__=1)')?.[0].name, 'a.b');
    assert.deepEqual(Object.keys(pythonCalls('f(__proto__=1)')?.[0].arguments ?? {}), ['__proto__']);
    assert.deepEqual(pythonCalls('f(), g(a=1)')?.length, 2);
    assert.equal(pythonCalls('f() g()'), undefined);
});
