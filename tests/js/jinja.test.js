// The renderer of chat templates: small templates give what jinja2 gives in transformers' environment
// (tests/oracles/jinja_vectors.py); every character knows who wrote it; and every template stays within its bounds.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { FILTERS } from '../../web/jinja/filters.js';
import { MAX_STEPS } from '../../web/jinja/interpreter.js';
import { TESTS } from '../../web/jinja/is.js';
import { CALLER, LimitError, SyntaxProblem, Template, TemplateError, toValue } from '../../web/jinja/jinja.js';
import { STRING } from '../../web/jinja/methods.js';
import { strftime } from '../../web/jinja/time.js';
import { root } from '../support/builds.js';

/** @param {string} source @param {Record<string, unknown>} [variables] */
function render(source, variables = {}) {
    const work = new Template(source).render(
        new Map(Object.entries(variables).map(([name, value]) => [name, toValue(value, CALLER)])),
    );
    for (let yields = 0; ; yields++) {
        const { done, value } = work.next();
        if (done) return { text: value, yields };
    }
}

test('small templates are as jinja2 renders them', () => {
    /** @type {{ context: Record<string, unknown>, cases: [string, string | null][] }} */
    const { context, cases } = JSON.parse(readFileSync(`${root}tests/fixtures/text/jinja.json`, 'utf8'));
    assert.ok(cases.length > 650);
    for (const [template, wanted] of cases) {
        let got = null,
            told;
        try {
            // JSON cannot hold integers of that size
            got = render(template, { ...context, big: 12345678901234567890n }).text.string;
        } catch (error) {
            told = error;
        }
        assert.equal(got, wanted, `${template}: ${told}`);
    }
});

describe('who wrote it', () => {
    // Letters that only the caller writes, and letters that only the templates write. No operation turns one into the
    // other.
    const OWN = '\u4e00\u4e01 \u4e02\n\u4e03',
        OTHER = '\u4e10-\u4e11',
        KEY = '\u4e20',
        THEIRS = /[\u4e00-\u4eff]/,
        TEMPLATES = /[g-jlmoq-z<>!|*]/;
    const check = (/** @type {import('../../web/jinja/text.js').Text} */ text, /** @type {string} */ told) => {
        const marked = new Array(text.string.length).fill(false);
        let last = 0;
        for (let i = 0; i < text.marks.length; i += 3) {
            assert.ok(
                text.marks[i] >= last && text.marks[i] < text.marks[i + 1] && text.marks[i + 1] <= text.string.length,
                told,
            );
            last = text.marks[i + 1];
            marked.fill(true, text.marks[i], last);
        }
        for (const [i, c] of [...text.string].entries())
            if (THEIRS.test(c) || TEMPLATES.test(c))
                assert.equal(marked[i], THEIRS.test(c), `${told}: ${JSON.stringify(text.string)} at ${i}`);
    };
    const expressions = `
        a; a ~ b; a + "x" + b; "<" ~ a|trim ~ ">"; a[1:3]; a[::-1]; a|reverse; a.split(); a.split(" ")[0] ~ "y";
        a.replace("\u4e01", "z"); a.replace("\u4e01", b); "xyx".replace("y", a); a.strip("\u4e00"); [a, b]|join(", ");
        ", ".join([a, b]); a|tojson; {"k": a}|tojson; {a: b}; [a]|string; "%s|%5s|%r"|format(a, b, a); "%s" % a;
        "{}={x}".format(a, x=b); "{:*^20}".format(a); "%s".__mod__; a.center(30, "*"); a|upper|lower|title|capitalize;
        a|indent; a|indent(b); a|e; a|urlencode; a|truncate(4, true, "!"); a|wordwrap(2); a|list; a|first ~ a|last;
        a.partition(" ")|join("|"); a.rsplit(" ", 1)|join("|"); a.splitlines()|join("|"); d|dictsort|join;
        d.items()|list; d|map("upper")|join; [d]|map(attribute="k")|join("x"); (a ~ "q") * 3; d|xmlattr;
        a.removeprefix("\u4e00"); a.zfill(20); a.expandtabs(); d.k if d.k else "x"; a|default("x"); missing|default(a);
        a|replace("\u4e02", "w"); [a, b]|sort|join; [a, b]|batch(1)|list; b.split("-")|join("+")`;
    test('through every operation', () => {
        for (const expression of expressions.split(';').map((each) => each.trim())) {
            try {
                check(
                    render(`tell {{ ${expression} }} more`, { a: OWN, b: OTHER, d: { k: OWN, [KEY]: OTHER } }).text,
                    expression,
                );
            } catch (error) {
                assert.ok(
                    /xmlattr|__mod__/.test(expression),
                    `${expression}: ${error instanceof Error ? error.stack : error}`,
                );
            }
        }
    });
    test('through statements', () => {
        for (const template of [
            '{% set x = a ~ "b" %}{{ x }}',
            '{% set x %}c{{ a }}d{% endset %}{{ x }}{{ x[1:] }}',
            '{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(a) }}{{ m(b)|trim }}',
            '{% filter upper %}x{{ a }}{% endfilter %}',
            '{% for c in a %}<{{ c }}>{% endfor %}',
            '{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}',
            '{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}{{ a }}x{% endcall %}',
            '{% set ns = namespace(t="") %}{% for c in a %}{% set ns.t = ns.t ~ c ~ "." %}{% endfor %}{{ ns.t }}',
            '{% generation %}{{ a }}{% endgeneration %}',
        ])
            check(render(template, { a: OWN, b: OTHER, d: { k: OWN, [KEY]: OTHER } }).text, template);
    });
});

describe('bounds', () => {
    // sets ns.l to a list whose text has 2^60 items
    const DOUBLED = '{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}';
    /** @type {[string, string, RegExp][]} */
    const greedy = [
        ['a long range', '{% for i in range(1000000000) %}{% endfor %}', /range\(\) gives at most 100000/],
        [
            'loops within loops',
            '{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}',
            /more than \d+ steps/,
        ],
        [
            'a macro without an end',
            '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
            /macros call each other more than 100 deep/,
        ],
        [
            'two of them',
            '{% macro a(n) %}{{ b(n) }}{% endmacro %}{% macro b(n) %}{{ a(n) }}{% endmacro %}{{ a(1) }}',
            /more than 100 deep/,
        ],
        ['a recursive loop', '{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}', /more than 100 deep/],
        [
            'a text that doubles',
            '{% set ns = namespace(t="ab") %}{% for i in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}',
            /more than 8388608 characters/,
        ],
        ['a text times a number', '{{ "abc" * 1000000000 }}', /characters/],
        ['a list times a number', '{{ ([1] * 1000000000)|length }}', /more than 1048576 items/],
        [
            'a list that doubles',
            '{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}',
            /items/,
        ],
        ['a tree that doubles', `${DOUBLED}{{ ns.l }}`, /characters|items/],
        ['the same as JSON', `${DOUBLED}{{ ns.l|tojson }}`, /characters|items/],
        [
            'the same compared',
            '{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}' +
                '{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}',
            /compares more than/,
        ],
        [
            'a chain that nests',
            '{% set ns = namespace(l=[]) %}{% for i in range(2000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}',
            /deep/,
        ],
        ['a large power', '{{ 9 ** (9 ** 9) }}', /bits/],
        [
            'products',
            '{% set ns = namespace(n=3) %}{% for i in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}{{ ns.n }}',
            /bits/,
        ],
        ['a wide format', '{{ "%1000000000d"|format(1) }}', /characters/],
        ['a precise format', '{{ "%.1000000000f"|format(1) }}', /characters/],
        ['a wide field', '{{ "{:1000000000}".format(1) }}', /characters/],
        ['padding', '{{ "a".ljust(1000000000) }}', /characters/],
        ['a batch that is filled', '{{ [1]|batch(1000000000, 2)|list|length }}', /items/],
        ['slices', '{{ [1]|slice(1000000000)|list|length }}', /items/],
        [
            'a long text in a long text',
            '{% set t = "a" * 8000000 %}{{ ("a" * 4000000 ~ "b") in t }}',
            /searches long texts/,
        ],
        ['long texts in a list', '{% set t = "a" * 8000000 %}{{ (t ~ "b") in [t ~ "c"] * 1000000 }}', /compares/],
        ['sorting them', '{{ (["a" * 8000000 ~ "b", "a" * 8000000 ~ "c"] * 10000)|sort|length }}', /sorts|at once/],
        ['letters', '{{ ("a" * 8000000)|list|length }}', /items/],
        ['pieces', '{{ ("a " * 4000000).split()|length }}', /items/],
        ['a sum of lists', '{{ ([[1]] * 200000)|sum(start=[])|length }}', /many long texts/],
        [
            'a long path',
            '{% set ns = namespace() %}{% set ns.a = ns %}{{ ([ns] * 100000)|map(attribute="a." * 10000 ~ ' +
                '"a")|list|length }}',
            /path of attributes/,
        ],
        ['tabs', '{{ "\\t".expandtabs(1000000000) }}', /characters/],
        [
            'long strings, compared again and again',
            '{% set t = "a" * 10000000 %}{% for i in range(100000) %}{% for j in range(1000) %}' +
                '{{ t ~ "b" == t }}{% endfor %}{% endfor %}',
            /steps|characters/,
        ],
    ];
    for (const [name, template, told] of greedy)
        test(name, () =>
            assert.throws(
                () => render(template),
                (error) => error instanceof LimitError && told.test(error.message),
            ),
        );

    for (const [name, template] of [
        ['brackets', `{{ ${'('.repeat(100000)}1${')'.repeat(100000)} }}`],
        ['tags', '{% if 1 %}'.repeat(100000)],
        ['not', `{{ ${'not '.repeat(100000)}1 }}`],
        ['signs', `{{ ${'-'.repeat(100000)}1 }}`],
    ])
        test(`${name} within each other`, () =>
            assert.throws(
                () => new Template(template),
                (error) => error instanceof SyntaxProblem && /more than 200/.test(error.message),
            ));
    test('a chain of operators is only long', () =>
        assert.equal(render(`{{ ${'1 + '.repeat(500)}1 }}`).text.string, '501'));
    test('a longer one is refused', () => assert.throws(() => render(`{{ ${'1 + '.repeat(200000)}1 }}`), LimitError));

    // each of these once took quadratic time in the text's length, within a step that cannot be interrupted
    for (const [name, template] of [
        [
            'cut into many pieces',
            '{% set t = (a[0] ~ "x") * 100000 %}{{ t.split("x")|length }} {{ t[3:-3]|upper|length }} ' +
                '{{ t|list|length }}',
        ],
        ['wrapped at a large width', '{{ ("a " * 400000)|wordwrap(8000000)|length }}'],
    ])
        test(`a text that is ${name} takes seconds at most`, () => {
            const began = performance.now();
            render(template, { a: 'caller' });
            assert.ok(performance.now() - began < 15000);
        });

    test('it yields all the time', () =>
        assert.ok(
            render('{% for a in range(1000) %}{% for b in range(100) %}{{ a * b }}{% endfor %}{% endfor %}').yields >
                50,
        ));

    test('steps grow with the messages, and no faster', () => {
        const template =
            '{% for m in messages %}{% if m.role == "user" and "</think>" not in m.content %}<|{{ m.role ' +
            '}}|>{{ m.content|trim }}{% else %}{{ m.content.split("x")[-1] }}{% endif %}{% endfor %}';
        const yields = (/** @type {number} */ n) =>
            render(template, {
                messages: Array.from({ length: n }, (_, i) => ({
                    role: i % 2 ? 'assistant' : 'user',
                    content: `message ${i} `.repeat(10),
                })),
            }).yields;
        const few = yields(4000),
            many = yields(16000);
        assert.ok(few > 5 && many / few < 4.5, `${few}, ${many}`);
    });
    test('the limit on steps is low enough to wait for', () => assert.ok(MAX_STEPS <= 2e7));
});

test("any operation on any value gives a result or a template's error", () => {
    const values = [
        '1',
        '-1',
        '2.5',
        '1e400',
        'true',
        'none',
        'missing',
        '"abc"',
        '""',
        '"%s %d"',
        '"{} {a.b}"',
        '[]',
        '[1, "a", none]',
        '[[1, 2], [3, 4]]',
        '(1,)',
        '{}',
        '{"a": 1, 2: [3]}',
        'range(1)',
        'range(3)',
        'namespace(a=1)',
        'cycler(1, 2)',
        'joiner()',
        'given',
        'parts',
        '{"a": 1}.items()',
        '[1]|map("string")',
        '10**30',
        '"😀"',
        'dict',
        '"x"|safe',
        '[1, 2]|groupby(0)|first',
        'loop',
    ];
    const filters = Object.keys(FILTERS).concat('map', 'select', 'selectattr', 'reject', 'rejectattr', 'format');
    const tests = Object.keys(TESTS),
        methods = Object.keys(STRING).concat('items', 'get', 'copy', 'format', 'format_map', 'append');
    const names = ['attribute', 'default', 'start', 'width', 'case_sensitive', 'indent', 'boolean', 'other'];
    let seed = 7;
    const of = (/** @type {string[]} */ list) =>
        list[((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % list.length];
    const args = () =>
        [
            ['', of(values), `${of(values)}, ${of(values)}`, `${of(values)}, ${of(values)}, ${of(values)}`],
            [`${of(names)}=${of(values)}`],
        ]
            .flatMap((list, i) => (i === 0 || of(names) === 'other' ? [of(list)] : []))
            .filter((text) => text !== '')
            .join(', ');
    /** @type {(() => string)[]} */
    const kinds = [
        () => `${of(values)}|${of(filters)}(${args()})`,
        () => `${of(values)}.${of(methods)}(${args()})`,
        () => `${of(values)} is ${of(tests)}(${args()})`,
        () => `${of(values)} ${of(['+', '-', '*', '/', '//', '%', '**', '~', '<', '==', 'in', 'and'])} ${of(values)}`,
        () => `${of(values)}[${of(values)}:${of(values)}:${of(values)}]`,
        () => `${of(['range', 'dict', 'namespace', 'cycler', 'joiner', 'strftime_now'])}(${args()})`,
    ];
    for (let i = 0; i < 10000; i++) {
        const template = of([
            '{{ @ }}',
            '{{ (@)|list }}',
            '{{ (@)|tojson }}',
            '{% set a, b = @ %}{{ a }}',
            '{% for x in @ %}{{ x }}{{ loop.previtem }}{% endfor %}',
            '{% macro m(x, y=2) %}{{ x }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(@) }}',
        ]).replace('@', () => kinds[i % kinds.length]());
        try {
            render(template, { given: ['x', { b: 1 }], parts: { content: [1] } });
        } catch (error) {
            assert.ok(
                error instanceof TemplateError || error instanceof LimitError || error instanceof SyntaxProblem,
                `${template}: ${error}`,
            );
        }
    }
});

test('dates', () => {
    const date = new Date(2026, 0, 3, 15, 4, 5);
    // from Python's strftime
    assert.equal(
        strftime('%d %b %Y|%B %-d, %y|%A %a|%H:%M:%S %I %p|%j|%e|%F %T %D|%%|%U %W %V %G %u %w|%C|%q', date),
        '03 Jan 2026|January 3, 26|Saturday Sat|15:04:05 03 PM|003| 3|' +
            '2026-01-03 15:04:05 01/03/26|%|00 00 01 2026 6 6|20|%q',
    );
});
