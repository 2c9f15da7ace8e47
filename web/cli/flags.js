/** What was typed -> a model and the values of flags. */
import { readFileSync } from 'node:fs';
import { checkOption, nearest } from '../checks.js';
import { messageOf, NibbleError, why } from '../errors.js';
import {
    checkBudget,
    checkFolder,
    checkInteger,
    checkMethod,
    checkQuantize,
    FOLDER_OPTIONS,
    QUANTIZE_OPTIONS,
    withFolderDefaults,
} from '../quantize-options.js';
import { withoutEffect } from '../samplers.js';
import { checkWithSimulation, SIMULATE_OPTIONS, simulateOf } from '../simulated.js';
import { COMMANDS } from './commands.js';
import { placeToRead } from './files.js';
import { UsageError } from './usage.js';

/** @typedef {import('./usage.js').Arguments} Arguments */
/** @typedef {import('./usage.js').Flag} Flag */
/** @typedef {import('../checks.js').Option} Option */

const wrong = (/** @type {string} */ message) => new UsageError(message);

/**
 * @param {string} command
 * @param {string[]} argv what follows the command's name
 * @returns {Arguments | null} null: help is asked for, and not as the value of a flag
 */
export function parse(command, argv) {
    const { flags, out, several } = COMMANDS[command];
    const given = new Map();
    /** @type {string[]} */
    const positionals = [];
    for (let i = 0; i < argv.length; i++) {
        if (argv[i] === '--help' || argv[i] === '-h') return null;
        const short = /^-\w$/.test(argv[i]) ? flags.find((candidate) => candidate.short === argv[i][1]) : undefined;
        const [, word = short?.flag, attached] = /^--([^=]+)(?:=(.*))?$/s.exec(argv[i]) ?? [];
        if (word === undefined) {
            if (argv[i].startsWith('-') && argv[i].length > 1) throw wrong(`unknown option ${argv[i]}`);
            positionals.push(argv[i]);
            continue;
        }
        const flag = flagOf(flags, word);
        if (flag.type === 'switch') {
            if (attached !== undefined) throw wrong(`--${word} takes no value`);
            given.set(flag, !flag.off);
            continue;
        }
        const text = attached ?? argv[++i];
        if (text === undefined) throw wrong(`--${word} needs a value: --${word} ${flag.value}`);
        const repeated = flag.type === 'texts' || flag.type === 'biases' || flag.type === 'rules';
        if (given.has(flag) && !repeated) throw wrong(`--${word} was given twice`);
        given.set(flag, repeated ? [...(given.get(flag) ?? []), text] : text);
    }
    checkPositionals(positionals, COMMANDS[command]);
    checkInput(positionals, given, COMMANDS[command]);
    /** @type {Record<string, any>} */
    const values = {};
    for (const flag of flags) {
        if (!given.has(flag)) {
            if (flag.required) throw wrong(`--${flag.flag} ${flag.value} is missing`);
            values[flag.name] = flag.default;
            continue;
        }
        values[flag.name] = readValue(flag, given.get(flag));
    }
    checkQuantize(values);
    const idle = flags.find(({ name }) => name === withoutEffect(values));
    if (idle) throw wrong(`--${idle.flag} has an effect only with a temperature above 0`);
    if (command === 'quantize') checkKind(values, [...given.keys()]);
    return {
        model: placeToRead(positionals[0] ?? ''),
        ...(out && { out: positionals[1] }),
        ...(several && { others: positionals.slice(1) }),
        values,
    };
}

/** @param {Flag[]} flags @param {string} word */
function flagOf(flags, word) {
    const found = flags.find(({ flag }) => flag === word);
    if (found) return found;
    const near = nearest(
        word,
        flags.map(({ flag }) => flag),
    );
    throw wrong(`unknown option --${word}${near ? `; did you mean --${near}?` : ''}`);
}

/**
 * Checks that there are as many models and files as the command takes.
 * @param {string[]} positionals the arguments without a flag
 * @param {import('./usage.js').Command} command
 */
function checkPositionals(positionals, { out, several, flagsOnly }) {
    if (positionals.includes('')) throw wrong('the name of a model or of a file is empty');
    if (flagsOnly && positionals.length > 0)
        throw wrong(`${JSON.stringify(positionals[0])} has no flag before it (does a text lack its quotes?)`);
    if (!flagsOnly && positionals.length === 0) throw wrong('which model? Give a path or a URL');
    if (out && positionals.length === 1) throw wrong(`where to? Give ${out} after the model`);
    if (several === 'two' && positionals.length === 1)
        throw wrong('which models to compare with it? Give their paths or URLs after it');
    if (!several && positionals.length > (out ? 2 : 1))
        throw wrong(
            `${out ? `one model and ${out}` : 'one model at a time'}, not ${positionals
                .map((text) => JSON.stringify(text))
                .join(' and ')} (does a text lack its quotes?)`,
        );
}

/** Whether this is standard input, by whatever name. @param {string} place */
const isInput = (place) => /^\/(dev\/stdin|dev\/fd\/0|proc\/self\/fd\/0)$/.test(placeToRead(place));

/**
 * Checks that standard input, which is one stream, is read only once.
 * @param {string[]} positionals
 * @param {Map<Flag, string | boolean | string[]>} given
 * @param {import('./usage.js').Command} command
 */
function checkInput(positionals, given, { out, rereads }) {
    /** Who reads it, and whether that is read with the model. @type {[who: string, ofModel: boolean][]} */
    const readers = [];
    for (const [i, place] of positionals.slice(0, out ? 1 : undefined).entries())
        if (isInput(place)) readers.push([i === 0 ? 'the model' : `argument ${i + 1}`, true]);
    for (const [{ flag, input }, value] of given)
        for (const place of input ? [value].flat() : [])
            if (isInput(String(place))) readers.push([`--${flag}`, input === 'model']);
    const again = rereads && readers.find(([, ofModel]) => ofModel),
        once = 'is standard input, which can be read only once';
    if (again) throw wrong(`"-" ${once}, and ${again[0]} is read more often: give a file`);
    if (readers.length > 1)
        throw wrong(
            `"-" ${once}, and ${readers.map(([who]) => who).join(' and ')} would read it: give files for all but one`,
        );
}

/**
 * `nibble quantize` writes a GGUF, with --simulate one of rounded numbers, or with --format a folder. Checks that all
 * flags are for that one. Some flags take other values there.
 * @param {Record<string, any>} values
 * @param {Flag[]} given
 */
function checkKind(values, given) {
    const isFolder = values.format !== undefined,
        simulates = values.grid !== undefined;
    if (isFolder && simulates) throw new UsageError('--simulate makes a GGUF: leave out --format');
    /** @type {Record<string, Option>} */
    const ggufs = QUANTIZE_OPTIONS,
        /** @type {Record<string, Option>} */ folders = FOLDER_OPTIONS,
        /** @type {Record<string, Option>} */ grids = SIMULATE_OPTIONS,
        own = isFolder ? folders : simulates ? { ...ggufs, ...grids } : ggufs;
    for (const { name, flag, type } of given) {
        if (own[name] && type !== 'switch') checkOption(`--${flag}`, own[name], values[name]);
        if (own[name]) continue;
        if (isFolder && (ggufs[name] || name === 'imatrix'))
            throw new UsageError(`--${flag} is for GGUFs, without --format`);
        if (folders[name] && grids[name])
            throw new UsageError(`--${flag} is for folders and grids: give --format or --simulate as well`);
        if (folders[name]) throw new UsageError(`--${flag} is for folders: give --format as well`);
        if (grids[name]) throw new UsageError(`--${flag} is for grids: give --simulate as well`);
    }
    if (simulates) {
        simulateOf(values);
        return checkWithSimulation({ ...values, type: values.type ?? 'f32', bits: undefined });
    }
    if (!isFolder) {
        if (values.method === 'integer') return checkInteger(values);
        checkBudget(values);
        return checkMethod({ ...values, method: values.method ?? QUANTIZE_OPTIONS.method.default });
    }
    const { format, activations, doubleQuant, block = FOLDER_OPTIONS.block.default } = values,
        {
            bits = FOLDER_OPTIONS.bits.default,
            group = FOLDER_OPTIONS.group.default,
            method,
        } = withFolderDefaults(values);
    const asked = Object.fromEntries(given.map(({ name }) => [name, values[name]]));
    checkFolder({ ...values, format, method, activations, bits, group, block, doubleQuant }, asked);
}

/** @param {Flag} flag @param {any} given */
function readValue(flag, given) {
    const name = `--${flag.flag}`;
    switch (flag.type) {
        case 'text':
            if (given === '' && flag.value === 'FILE')
                throw new UsageError(`${name} must be the name of a file, not ""`);
            return flag.file ? readFile(name, given) : given;
        case 'tokens':
            if (!/^\s*\d+(\s*,\s*\d+)*\s*$/.test(given))
                throw new UsageError(`${name} must be token ids with commas between them, such as 1,2,3`);
            return given.split(',').map(Number);
        case 'integer':
        case 'number':
            return checkOption(
                name,
                /** @type {Option} */ (flag),
                given.trim() === '' || Number.isNaN(Number(given)) ? given : Number(given),
            );
        case 'bytes':
            return checkOption(name, /** @type {Option} */ (flag), given);
        case 'rules':
            return checkOption(
                name,
                /** @type {Option} */ (flag),
                given.map((/** @type {string} */ rule) => {
                    const [, pattern, type] = /^(.+)=([^=]*)$/.exec(rule) ?? [];
                    if (pattern === undefined)
                        throw new UsageError(
                            `${name} must be a pattern and a type, such as ffn_down=q6_k, not ${JSON.stringify(rule)}`,
                        );
                    return [pattern, type.toLowerCase()];
                }),
            );
        case 'texts': // a list of names may be written as one
            return checkOption(
                name,
                /** @type {Option} */ (flag),
                flag.choices
                    ? given.flatMap((/** @type {string} */ text) => text.split(/[;,\s]+/).filter(Boolean))
                    : given,
            );
        case 'biases':
            return given.map((/** @type {string} */ pair) => {
                const [, token, bias] = /^(.+)=(.+)$/s.exec(pair) ?? [];
                if (token === undefined || Number.isNaN(Number(bias)))
                    throw new UsageError(
                        `${name} must be a token id or a token's text and a number, such as 123=-5 or " the=-5", ` +
                            `not ${JSON.stringify(pair)}`,
                    );
                return [/^\d+$/.test(token) ? Number(token) : token, Number(bias)];
            });
        case 'thinking':
            if (!/^(on|off|\d+)$/.test(given))
                throw new UsageError(`${name} must be on, off or a number of tokens, not ${JSON.stringify(given)}`);
            return checkOption(
                name,
                /** @type {Option} */ (flag),
                /\d/.test(given) ? { maxTokens: Number(given) } : given === 'on',
            );
        case 'schema':
            return given === 'true' || checkOption(name, /** @type {Option} */ (flag), readJson(name, given));
        case 'objects':
        case 'object':
            return checkOption(name, /** @type {Option} */ (flag), readJson(name, given));
        case 'choice': // types are often written in capitals
            return checkOption(
                name,
                /** @type {Option} */ (flag),
                flag.choices?.includes(given) ? given : given.toLowerCase(),
            );
        default:
            return checkOption(name, /** @type {Option} */ (flag), given);
    }
}

/** @param {string} name @param {string} path */
function readFile(name, path) {
    try {
        return readFileSync(path, 'utf8');
    } catch (error) {
        throw new NibbleError('NB_ERR_FILE', `${name}: cannot read ${path}: ${why(error)}`, { cause: error });
    }
}

/** @param {string} name @param {string} given JSON, or the name of a file that has it */
function readJson(name, given) {
    const itself = /^\s*[[{]/.test(given);
    const text = itself ? given : readFile(name, given);
    try {
        return JSON.parse(text.replace(/^\ufeff/, ''));
    } catch (error) {
        throw new UsageError(`${name}: ${itself ? 'this' : given} is not JSON: ${messageOf(error)}`);
    }
}
