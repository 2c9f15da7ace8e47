/** How Python's functions take their arguments: by position or by name, some with defaults. */
import { Builtin, fail } from './values.js';

/** @typedef {import('./values.js').Value} Value */
/** @typedef {{ names: string[], needed: number, run: (...args: any[]) => Value }} Signature */

/**
 * @param {string} names of the parameters, in order; those before a / have no defaults
 * @param {(...args: any[]) => Value} run is given undefined where an argument is missing
 * @returns {Signature}
 */
export function takes(names, run) {
    const [needed, others = ''] = names.includes('/') ? names.split('/') : ['', names];
    const words = (/** @type {string} */ list) => list.split(' ').filter((word) => word !== '');
    return { names: [...words(needed), ...words(others)], needed: words(needed).length, run };
}

/**
 * @param {string} name
 * @param {Signature} signature
 * @param {Value[]} before the value that a method or filter is applied to
 * @param {Value[]} args
 * @param {Map<string, Value>} named
 */
export function apply(name, signature, before, args, named) {
    const { names, needed, run } = signature;
    if (args.length > names.length) fail(`${name}() takes at most ${names.length} arguments, not ${args.length}`);
    const all = [...args];
    for (const [key, value] of named) {
        const at = names.indexOf(key);
        if (at < 0) fail(`${name}() has no argument ${key}`);
        if (all[at] !== undefined) fail(`${name}() is given ${key} twice`);
        all[at] = value;
    }
    for (let i = 0; i < needed; i++) if (all[i] === undefined) fail(`${name}() needs ${names[i]}`);
    return run(...before, ...all);
}

/**
 * A method of a value, bound to it.
 * @param {string} name
 * @param {Signature} signature
 * @param {Value} self
 */
export const bound = (name, signature, self) =>
    new Builtin(name, (args, named) => apply(name, signature, [self], args, named));
