/**
 * The renderer of chat templates: `make build` makes one file of it, build/jinja.js, which chat.js loads when there
 * is a chat.
 */
export { Template } from './interpreter.js';
export { LimitError, SyntaxProblem, TemplateError } from './problems.js';
export { CALLER, joined, MODEL, TEMPLATE, Text } from './text.js';
export { dictOf, Parts, toValue } from './values.js';
