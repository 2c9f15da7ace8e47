// Records which models agreed with a reference. tests/support/tables.js makes the tables of docs/support.md from it.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { root } from './builds.js';

/** A model that a build ran correctly. form: GGUF, safetensors, or config.json's quant_method; types: of its matrices.
 * @typedef {{ model: string, form: string, architecture: string, build: string, types: string[] }} Tested */

/** Where the records are: a file for each test file and Node. */
export const records = `${root}build/tested/`;

/** Deletes the records, before all tests are run again. */
export const forget = () => rmSync(records, { recursive: true, force: true });

/** @type {Map<string, Tested>} */
const seen = new Map();

let comparing = 0;

/** A test that calls tested(). `make tables` runs these only.
 * @param {string} name @param {import('node:test').TestOptions} options
 * @param {(t: import('node:test').TestContext) => Promise<void>} f */
export const comparison = (name, options, f) =>
    test(name, { ...options, only: true }, async (t) => {
        comparing++;
        try {
            await f(t);
        } finally {
            comparing--;
        }
    });

/** Records that a model agreed with its reference, in the build that it was loaded into. Call it within comparison(),
 * after the assertions, and only for models in the repository, so that the tables do not depend on downloads.
 * @param {string} path of the model, a file or a folder @param {import('../../web/index.d.ts').ModelInfo} info */
export function tested(path, { architecture = '', build, tensors }) {
    if (!comparing) throw new Error('tested() was called outside of comparison(): make tables would not run it');
    const types = [...new Set(tensors.filter(({ shape }) => shape.length > 1).map(({ type }) => type))];
    const model = basename(path);
    seen.set(`${model} ${build}`, { model, form: formOf(path), architecture, build, types });
}

/** @param {string} path */
function formOf(path) {
    if (!existsSync(`${path}/config.json`)) return 'GGUF';
    return JSON.parse(readFileSync(`${path}/config.json`, 'utf8')).quantization_config?.quant_method ?? 'safetensors';
}

process.on('exit', () => {
    if (seen.size === 0) return;
    mkdirSync(records, { recursive: true });
    const [name] = basename(process.argv[1]).split('.');
    writeFileSync(`${records}${name}-node${process.versions.node}.json`, JSON.stringify([...seen.values()]));
});
