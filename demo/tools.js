// Functions that a model may call. They run in this page, and ask nobody else.
import { calculate } from './calculator.js';

/** @type {import('../web/index.js').RunnableTool[]} */
export const TOOLS = [
    {
        name: 'calculate',
        description:
            'Computes arithmetic with + - * / % ^, parentheses, pi, e, sqrt, round, exp, ln, log, sin, cos, tan.',
        parameters: {
            type: 'object',
            properties: { expression: { type: 'string', description: 'For example: (12 + 3) * 4' } },
            required: ['expression'],
        },
        run: ({ expression }) => String(calculate(String(expression))),
    },
    {
        name: 'date_and_time',
        description: 'Tells the present date and time, the day of the week and the time zone.',
        parameters: { type: 'object', properties: {} },
        run: () => dateAndTime(new Date()),
    },
];

/** @param {Date} date in the time zone of this device */
export function dateAndTime(date) {
    const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
    return {
        date: `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
        time: `${two(date.getHours())}:${two(date.getMinutes())}`,
        weekday: date.toLocaleDateString('en', { weekday: 'long' }),
        timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    };
}
