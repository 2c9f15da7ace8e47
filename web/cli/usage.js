/** What a command is, and what is said of one that is used wrongly. */

/** @typedef {import('../options.js').Option} Option */
/** @typedef {import('../index.d.ts').Model} Model */
/** out: the second place, of commands that have one; others: all but the first, of commands that take several models.
 * @typedef {{ model: string, out?: string, others?: string[], values: Record<string, any> }} Arguments */

/**
 * A flag of the command line: one of the API's options, or one that only the command has. short: a letter that may
 * follow a single dash.
 * @typedef {Omit<Option, 'type'> & { name: string, type: Option['type'] | 'tokens', required?: boolean, short?:
 *     string }} Flag
 */

/**
 * @typedef {object} Command
 * @property {string} usage
 * @property {string} summary
 * @property {Flag[]} flags
 * @property {string} [out] what its second place is, if it has one
 * @property {boolean} [several] whether it takes several models
 * @property {(args: Arguments, signal: AbortSignal) => Promise<void>} run
 */

export class UsageError extends Error {
    /** @param {string} message @param {string} [command] */
    constructor(message, command) {
        super(message);
        this.command = command;
    }
}
