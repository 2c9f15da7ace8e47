// Makes the two tables of docs/support.md from the results of the tests (tested.js):
//     node tests/support/tables.js            fails if the page differs from the last run (make test ends with it)
//     node tests/support/tables.js --write    writes them
//     node tests/support/tables.js --run      runs the tests first, on both Nodes (make tables does both)
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { builds, node24, root, testFiles } from './builds.js';
import { forget, records } from './tested.js';

/** @typedef {import('./tested.js').Tested} Tested */

/** What a build has: its architectures, and the kernel for each type, exact and fast.
 * @typedef {{ families: string[], kernels: Map<string, { exact: string, fast: string }> }} Lists */

/** Titles of columns, by config.json's name of the method. An unknown method gets a column under its own name.
 * @type {Record<string, string>} */
const FORMS = {
    GGUF: 'GGUF',
    safetensors: 'safetensors',
    gptq: 'GPTQ',
    awq: 'AWQ',
    bitsandbytes: 'bitsandbytes',
    'compressed-tensors': 'compressed-tensors',
};

const PAGE = `${root}docs/support.md`;

/** @param {string[]} head @param {string[][]} rows */
const markdown = (head, rows) =>
    [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

/** For each architecture and form of files: how many models gave the reference's numbers in every build.
 * @param {string[]} families @param {Tested[]} tested @param {string[]} all the builds */
export function architectures(families, tested, all) {
    const forms = [...new Set([...Object.keys(FORMS), ...tested.map(({ form }) => form)])];
    const cell = (/** @type {string} */ architecture, /** @type {string} */ form) => {
        const mine = tested.filter((t) => t.architecture === architecture && t.form === form);
        const models = [...new Set(mine.map(({ model }) => model))].filter((model) =>
            all.every((build) => mine.some((t) => t.model === model && t.build === build)),
        );
        return models.length > 1 ? `${models.length} models` : models.length ? '1 model' : 'untested';
    };
    return markdown(
        ['architecture', ...forms.map((form) => FORMS[form] ?? form)],
        families.map((family) => [`\`${family}\``, ...forms.map((form) => cell(family, form))]),
    );
}

/** @param {string} kernel nb_matmul_<weight>_<activation>__<isa> */
function kindOf(kernel) {
    const [, weight, form, isa] = /^nb_matmul_(\w+?)_(f32|q8|q16|halves)__(\w+)$/.exec(kernel) ?? [];
    if (!weight) throw new Error(`the kernel's name has another form: ${kernel}`);
    return `${{ f32: 'F32', q8: '8 bits', q16: '16 bits', halves: '16 bits' }[form]}, ${isa}`;
}

/** The kernel of each type in each build. Types with the same kernels share a row, and such builds a column.
 * @param {Map<string, Lists>} lists by build @param {Tested[]} tested */
export function types(lists, tested) {
    const all = [...lists.keys()],
        names = [.../** @type {Lists} */ (lists.get(all[0])).kernels.keys()];
    const cell = (/** @type {string} */ type, /** @type {string} */ build) => {
        const { exact, fast } = lists.get(build)?.kernels.get(type) ?? { exact: '', fast: '' };
        const sure = tested.some((t) => t.build === build && t.types.includes(type));
        return `${kindOf(exact)}${fast === exact ? '' : `; fast: ${kindOf(fast)}`}${sure ? '' : ' (untested)'}`;
    };
    const columns = together(all, (build) => names.map((type) => cell(type, build)));
    const rows = together(names, (type) => columns.map(([build]) => cell(type, build)));
    return markdown(
        ['tensor type', ...columns.map((group) => group.join(', '))],
        rows.map((group) => [group.join(', '), ...columns.map(([build]) => cell(group[0], build))]),
    );
}

/** @param {string[]} names @param {(name: string) => string[]} cells @returns {string[][]} those with the same cells */
function together(names, cells) {
    /** @type {Map<string, string[]>} */
    const groups = new Map();
    for (const name of names) {
        const key = cells(name).join('|');
        groups.set(key, [...(groups.get(key) ?? []), name]);
    }
    return [...groups.values()];
}

/**
 * The page with new tables between the comments that mark their places.
 * @param {string} page
 * @param {Record<string, string>} tables
 * @param {string} [by] what writes the tables, as the comments name it
 */
export function insert(page, tables, by = 'make tables') {
    for (const [name, table] of Object.entries(tables)) {
        const begin = `<!-- ${by}: ${name} -->\n`,
            end = '\n<!-- end -->';
        const from = page.indexOf(begin) + begin.length,
            to = page.indexOf(end, from);
        if (from < begin.length || to < 0) throw new Error(`the page has no ${begin.trim()} ... ${end.trim()}`);
        page = page.slice(0, from) + table + page.slice(to);
    }
    return page;
}

/** @param {string} build @returns {Lists} */
function listsOf(build) {
    const command = [`${root}tests/core/run.js`, build, 'print_lists'];
    const { stdout, status } = spawnSync(node24, command, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${build}: the C suite's print_lists failed; run ./build.sh tests`);
    /** @type {Lists} */
    const lists = { families: [], kernels: new Map() };
    for (const [kind, name, precision, kernel] of stdout.split('\n').map((line) => line.split(' '))) {
        if (kind === 'family') lists.families.push(name);
        else if (kind === 'kernel') {
            const known = lists.kernels.get(name) ?? { exact: kernel, fast: kernel };
            lists.kernels.set(name, { ...known, [precision]: kernel });
        }
    }
    return lists;
}

/** Runs the tests that call comparison() (tested.js). */
function runTests() {
    forget();
    const files = testFiles().filter((name) => /from '.*\/tested\.js'/.test(readFileSync(root + name, 'utf8')));
    for (const node of [process.execPath, node24]) {
        const { status } = spawnSync(node, ['--test', '--test-only', ...files], { cwd: root, stdio: 'inherit' });
        if (status !== 0) throw new Error('the tests failed: the tables stay as they are');
    }
}

function main() {
    if (process.argv.includes('--run')) runTests();
    /** @type {Tested[]} */
    const tested = (existsSync(records) ? readdirSync(records) : []).flatMap((name) =>
        JSON.parse(readFileSync(records + name, 'utf8')),
    );
    const lists = new Map(builds.map(({ name }) => [String(name), listsOf(name)]));
    for (const build of lists.keys())
        if (!tested.some((t) => t.build === build))
            throw new Error(`nothing was tested in the build ${build}: run make tables`);
    const page = readFileSync(PAGE, 'utf8');
    const { families } = /** @type {Lists} */ (lists.get('simd128'));
    const now = insert(page, {
        architectures: architectures(families, tested, [...lists.keys()]),
        types: types(lists, tested),
    });
    if (now === page) return console.log('docs/support.md has the tables that the tests showed');
    if (process.argv.includes('--write')) return writeFileSync(PAGE, now);
    const differ = now.split('\n').filter((line) => !page.split('\n').includes(line));
    throw new Error(
        `docs/support.md does not say what the tests showed. make tables writes this there:\n${differ.join('\n')}`,
    );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    try {
        main();
    } catch (error) {
        console.error(error instanceof Error ? error.message : error);
        process.exitCode = 1;
    }
}
