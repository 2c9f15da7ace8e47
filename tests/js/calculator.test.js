// The demo's calculator, which a model may call.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calculate } from '../../demo/calculator.js';
import { dateAndTime } from '../../demo/tools.js';

test('expressions, by the rules of arithmetic', () => {
    for (const [text, value] of /** @type {[string, number][]} */ ([
        ['2 + 3 * 4', 14],
        ['(2 + 3) * 4', 20],
        ['10 - 4 - 3', 3],
        ['100 / 10 / 5', 2],
        ['7 % 4', 3],
        ['2 ^ 3 ^ 2', 512],
        ['-2 ^ 2', -4],
        ['2 ^ -1', 0.5],
        ['2 ** 10', 1024],
        ['--3', 3],
        ['6 × 7 ÷ 2 − 1', 20],
        ['1.5e3 + .5', 1500.5],
        ['0.1 + 0.2', 0.3],
        ['sqrt(16) + abs(-2)', 6],
        ['Round(2.6) * floor(2.6) - ceil(2.1)', 3],
        ['log(1000) + ln(e) + exp(0)', 5],
        ['cos(pi) + sin(0) + tan(0)', -1],
    ]))
        assert.equal(calculate(text), value, text);
});

test("random expressions: JavaScript's own results", () => {
    let state = 1;
    const draw = (/** @type {number} */ n) => {
        state = (state * 48271) % 0x7fffffff;
        return state % n;
    };
    /** @param {number} depth @returns {string} */
    const made = (depth) => {
        if (depth === 0) return `${draw(90) + 1}${draw(2) ? '' : `.${draw(10)}`}`;
        const [a, b] = [made(depth - 1), made(draw(depth))];
        return [`${a} + ${b}`, `${a} - ${b}`, `${a} * ${b}`, `${a} / ${b}`, `(${a})`, `(${a} - ${b})`, `-(${b})`][
            draw(7)
        ];
    };
    let count = 0;
    for (let i = 0; i < 500; i++) {
        const text = made(1 + draw(4)),
            value = Function(`return ${text}`)();
        if (!Number.isFinite(value)) continue;
        count++;
        const error = Math.abs(calculate(text) - value);
        assert.ok(error <= 1e-14 * Math.abs(value), `${text}: ${calculate(text)}, not ${value}`);
    }
    assert.ok(count > 400);
});

test('what is no expression is refused, and never run', () => {
    for (const [text, told] of /** @type {[string, RegExp][]} */ ([
        ['', /not complete/],
        ['1 +', /not complete/],
        ['(1', /there should be "\)" at the end/],
        ['1 2', /"2" does not belong there/],
        ['1)', /"\)" does not belong there/],
        ['alert(1)', /"alert" is not known here/],
        ['constructor', /"constructor" is not known here/],
        ['sqrt 4', /there should be "\(" before "4"/],
        ['this.x', /cannot be read from "\.x" on/],
        ['1; 2', /cannot be read from "; 2" on/],
        ['1 / 0', /no number, or too large/],
        ['sqrt(-1)', /no number/],
        ['('.repeat(1e5), /nested too deeply/],
        ['-'.repeat(1e5), /nested too deeply/],
        [`2${'^2'.repeat(1e5)}`, /nested too deeply/],
    ]))
        assert.throws(() => calculate(text), told, text.slice(0, 20));
});

test('the date and time of this device', () => {
    const { date, time, weekday, timeZone } = dateAndTime(new Date(2024, 1, 29, 7, 5));
    assert.deepEqual([date, time, weekday], ['2024-02-29', '07:05', 'Thursday']);
    assert.equal(typeof timeZone, 'string');
});
