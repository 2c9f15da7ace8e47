// What every JavaScript test needs: the builds, the models, and how to skip a test.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** @typedef {import('../../web/index.d.ts').Build} Build */

/** The repository's root, with a slash at its end. */
export const root = fileURLToPath(new URL('../../', import.meta.url));

// The workers are bundles of web/ (tools/bundle.js). If web/ has changed since, bundle again, so that tests see it.
const changed = (/** @type {string} */ path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const bundles = ['engine-worker', 'pool-worker', 'jinja'].map((name) => changed(`${root}build/${name}.js`));
if (
    Math.min(...bundles) <
    Math.max(...readdirSync(`${root}web`, { recursive: true }).map((name) => changed(`${root}web/${name}`)))
)
    execFileSync(process.execPath, [`${root}tools/bundle.js`]);

/** A Node that runs every build, from an npm package. */
export const node24 = `${root}node_modules/node24/bin/node`;

// Node 20 has relaxed SIMD behind a flag only, and its baseline compiler computes the dot product wrongly, so tests do
// not use it there. `make test` runs the suite a second time on node24, with NIBBLE_BUILDS=relaxed: where a test goes
// through all builds, it then takes only those whose names begin so.
const relaxed = Number(process.versions.node.split('.')[0]) >= 22;
const prefix = process.env.NIBBLE_BUILDS ?? '';

/** The WebAssembly builds; a test runs on those that this Node supports and NIBBLE_BUILDS allows.
 * @type {{ name: Build, threads: boolean, relaxed: boolean, supported: boolean, file: string }[]} */
export const builds = [
    ...['simd128', 'simd128-threads', 'relaxed', 'relaxed-threads', 'relaxed-dot', 'relaxed-dot-threads'],
].map((name) => ({
    name: /** @type {Build} */ (name),
    threads: name.endsWith('-threads'),
    relaxed: name.startsWith('relaxed'),
    supported: name.startsWith(prefix) && (relaxed || !name.startsWith('relaxed')),
    file: `${root}build/wasm/nibble-${name}.wasm`,
}));

/** The `skip` option of a test that needs something optional; false if nothing is missing. With NIBBLE_REQUIRE_ALL=1
 * nothing is optional: the test file fails instead.
 * @param {string | false | undefined} reason what is missing and how to get it */
export function missing(reason) {
    if (reason && process.env.NIBBLE_REQUIRE_ALL === '1') throw new Error(`NIBBLE_REQUIRE_ALL is set, and ${reason}`);
    return reason || false;
}

/** Where `make vocabularies` puts llama.cpp's vocabularies, hard texts with their tokens, and chat templates. */
export const vocabularies = `${root}build/vocabularies/`;

/**
 * Model files. The one that tells stories comes with nibble (docs/stories.md). The tiny one has tensors of several
 * types, and tests/fixtures/llamacpp has its logits by other engines. The real one is downloaded by `make setup`; tests
 * of it have { skip: missing(models.realMissing) }. Gemma (`make gemma`) comes under terms of its own, so it stays
 * optional even with NIBBLE_REQUIRE_ALL; tests of it have { skip: models.gemmaMissing }. MiniLM (`make minilm`) is
 * optional, too.
 */
export const models = {
    stories: `${root}demo/stories.gguf`,
    tiny: `${root}tests/fixtures/tiny.gguf`,
    real: `${root}build/models/SmolLM2-135M-Instruct.Q4_1.gguf`,
    get realMissing() {
        return !existsSync(this.real) && `${this.real} is missing: run make setup`;
    },
    gemma: `${root}build/models/gemma-3-270m.Q4_K_M.gguf`,
    get gemmaMissing() {
        return !existsSync(this.gemma) && `${this.gemma} is missing: run make gemma`;
    },
    minilm: `${root}build/models/all-MiniLM-L6-v2`,
    get minilmMissing() {
        return !existsSync(`${this.minilm}/model.safetensors`) && `${this.minilm} is missing: run make minilm`;
    },
};

/** The files of the JavaScript suite, relative to the root. Those of tests/js run in Node, those of tests/page open
 * pages in Chromium. */
export const testFiles = () =>
    ['js', 'page']
        .flatMap((folder) =>
            readdirSync(`${root}tests/${folder}`)
                .filter((name) => name.endsWith('.test.js'))
                .map((name) => `tests/${folder}/${name}`),
        )
        .sort();
