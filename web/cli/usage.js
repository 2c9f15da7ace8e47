/** The type of a command, and errors of wrong usage. */
import { NibbleError } from '../errors.js';

/** @typedef {import('../checks.js').Option} Option */
/** @typedef {import('../index.d.ts').Model} Model */
/** out: the second argument without a flag, if the command has one. others: all such arguments but the first, if it takes
 * several models, or files after the model.
 * @typedef {{ model: string, out?: string, others?: string[], values: Record<string, any> }} Arguments */

/**
 * A flag of the command line: one of the API's options, or one that only the command has. short: a letter that may
 * follow a single dash. input: its value is a file to read, and "-" is standard input; of 'model' it is read whenever the
 * model is.
 * @typedef {Omit<Option, 'type' | 'flag'> & { name: string, flag: string, type: Option['type'] | 'tokens',
 *     required?: boolean, short?: string, input?: 'model' | 'text' }} Flag
 */

/**
 * @typedef {object} Command
 * @property {string} usage
 * @property {string} summary
 * @property {Flag[]} flags
 * @property {string} [out] what its second argument without a flag is, if it has one
 * @property {'two' | 'one'} [several] the least number of models that it takes, or of files and the model,
 *     if it takes several
 * @property {boolean} [rereads] whether it reads a model more than once, so that standard input will not do
 * @property {boolean} [flagsOnly] whether all its arguments have flags
 * @property {boolean} [saves] whether it ends by itself after Ctrl-C, SIGTERM or SIGHUP, however long that takes,
 *     because it has something to save, or requests to answer
 * @property {(args: Arguments, signal: AbortSignal) => Promise<void | number>} run the number is its exit code
 */

/** An error of the command line alone: an unknown flag, or two that exclude each other. */
export class UsageError extends Error {}

/**
 * Whether the usage is wrong (exit code 2), or something failed (1). The API throws NB_ERR_ARGUMENT for an option or a
 * value that it does not accept, or that does not fit the model.
 * @param {unknown} error
 */
export const isUsage = (error) =>
    error instanceof UsageError || (error instanceof NibbleError && error.code === 'NB_ERR_ARGUMENT');
