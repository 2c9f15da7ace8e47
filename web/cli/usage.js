/** What a command is, and what is said of one that is used wrongly. */
import { NibbleError } from '../errors.js';

/** @typedef {import('../checks.js').Option} Option */
/** @typedef {import('../index.d.ts').Model} Model */
/** out: the second place, of commands that have one; others: all but the first, of commands that take several models.
 * @typedef {{ model: string, out?: string, others?: string[], values: Record<string, any> }} Arguments */

/**
 * A flag of the command line: one of the API's options, or one that only the command has. short: a letter that may
 * follow a single dash.
 * @typedef {Omit<Option, 'type' | 'flag'> & { name: string, flag: string, type: Option['type'] | 'tokens',
 *     required?: boolean, short?: string }} Flag
 */

/**
 * @typedef {object} Command
 * @property {string} usage
 * @property {string} summary
 * @property {Flag[]} flags
 * @property {string} [out] what its second place is, if it has one
 * @property {boolean} [several] whether it takes several models
 * @property {boolean} [placeless] whether all that it takes has flags
 * @property {boolean} [saves] whether it ends by itself after Ctrl-C, SIGTERM or SIGHUP, however long that takes, as
 *     it has something to save
 * @property {(args: Arguments, signal: AbortSignal) => Promise<void>} run
 */

/** What only the command line can have: a flag that is not known, or two that exclude each other. */
export class UsageError extends Error {}

/**
 * Whether what was asked for is wrong (exit code 2), or something failed (1). The API tells these apart: it calls an
 * option or a value that it cannot take, or that does not fit the model, a wrong argument.
 * @param {unknown} error
 */
export const isUsage = (error) =>
    error instanceof UsageError || (error instanceof NibbleError && error.code === 'NB_ERR_ARGUMENT');
