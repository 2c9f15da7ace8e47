/** How models mark their thoughts in an answer, and what turns the thoughts on and off. */

/**
 * A thought stands at the beginning of an answer, between two marks.
 * @typedef {{ begin: string, end: string }} ThoughtMarks
 */

/** The first entry that fits a model counts. @type {ThoughtMarks[]} */
const MARKS = [
    { begin: '<think>', end: '</think>' }, // Qwen 3, DeepSeek R1, SmolLM3 and most others
    { begin: '[THINK]', end: '[/THINK]' }, // Magistral
    { begin: '<seed:think>', end: '</seed:think>' }, // Seed-OSS
    { begin: '<|START_THINKING|>', end: '<|END_THINKING|>' }, // Command
];

/**
 * The marks that a model knows: its template writes one of them, or its vocabulary has both.
 * @param {string} template
 * @param {(name: string) => boolean} isToken
 */
export const thoughtMarksOf = (template, isToken) =>
    MARKS.find(
        ({ begin, end }) => template.includes(begin) || template.includes(end) || (isToken(begin) && isToken(end)),
    );

/** What templates call it. */
export const THINKING_VARIABLES = ['enable_thinking', 'thinking'];

/** @param {import('../../index.d.ts').ChatOptions['thinking']} thinking @returns {Record<string, boolean>} */
export const thinkingVariables = (thinking) =>
    thinking === undefined ? {} : Object.fromEntries(THINKING_VARIABLES.map((name) => [name, thinking !== false]));

/** What closes a thought that is left empty, or that has gone on for too long. @param {ThoughtMarks} marks */
export const closing = ({ end }) => `\n${end}\n\n`;
