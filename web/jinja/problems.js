/** What can be wrong with a chat template. */

/** It is not Jinja, or names a filter, a test or a tag that is not there. */
export class SyntaxProblem extends Error {}

/** It asks for too much: steps, text, depth. */
export class LimitError extends Error {}

/** It fails on what it was given, or raises an error itself. */
export class TemplateError extends Error {}
