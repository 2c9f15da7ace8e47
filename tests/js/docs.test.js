// Files, folders, pages and headings that the documents name or link to must exist.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { root } from '../support/builds.js';
import { linksOf } from '../support/links.js';

const PAGES = [
    ...readdirSync(root).filter((name) => name.endsWith('.md')),
    ...readdirSync(`${root}docs`)
        .filter((name) => name.endsWith('.md'))
        .map((name) => `docs/${name}`),
    'examples/README.md',
];

const read = (/** @type {string} */ page) => readFileSync(`${root}${page}`, 'utf8');

/** Paths within the repository. One with < or * stands for several files. */
const PATH = /(?<![\w./-])(?:src|web|tests|demo|docs|tools|examples)\/[\w./<>*-]*/g;

/** The anchor that GitHub makes of a heading. @param {string} heading */
const anchorOf = (heading) =>
    heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replace(/ /g, '-');

test('documents: each path that they name exists', () => {
    let seen = 0;
    for (const page of PAGES)
        for (const [found] of read(page).matchAll(PATH)) {
            const path = found.replace(/\.$/, ''); // a sentence may end there
            if (/[<>*]/.test(path)) continue;
            seen++;
            assert.ok(existsSync(`${root}${path}`), `${page} names ${path}, which is not there`);
        }
    assert.ok(seen > 200, 'the paths were not found');
});

test('documents: each page and heading that they link to exists', () => {
    let seen = 0;
    for (const page of PAGES)
        for (const target of linksOf(read(page))) {
            seen++;
            const [path, anchor] = target.split('#'),
                linked = path ? join(dirname(page), path) : page;
            assert.ok(existsSync(`${root}${linked}`), `${page} links to ${target}, which is not there`);
            if (!anchor) continue;
            const headings = [...read(linked).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading));
            assert.ok(headings.includes(anchor), `${page} links to ${target}, and there is no such heading`);
        }
    assert.ok(seen > 10, 'the links were not found');
});

test('README.md, docs/comparison.md: they have as many architectures as docs/support.md', () => {
    const table = read('docs/support.md').split('<!-- make tables: architectures -->')[1].split('<!-- end -->')[0];
    const number = [...table.matchAll(/^\| `/gm)].length;
    assert.match(read('README.md'), new RegExp(`^Models of ${number} architectures`, 'm'));
    assert.match(read('docs/comparison.md'), new RegExp(`^\\| architectures \\| ${number} \\(`, 'm'));
});

test('docs/architecture.md: each file that it names exists, with its whole path', () => {
    const names = [...read('docs/architecture.md').matchAll(/(?<![\w./-])[\w./-]+\.(?:c|h|js|py|ts)\b/g)];
    assert.ok(names.length > 60, 'the names were not found');
    for (const [name] of names) assert.ok(existsSync(`${root}${name}`), `${name} is not there`);
});

test('docs/architecture.md: it has each module and each folder of the sources', () => {
    const page = read('docs/architecture.md');
    const headers = readdirSync(`${root}src`).filter((name) => name.endsWith('.h'));
    const folders = ['src', 'web'].flatMap((folder) =>
        readdirSync(`${root}${folder}`, { withFileTypes: true })
            .filter((entry) => entry.isDirectory())
            .map(({ name }) => `${folder}/${name}/`),
    );
    assert.ok(headers.length > 3 && folders.length > 10, 'the sources were not found');
    for (const name of [...headers.map((header) => `src/${header}`), ...folders])
        assert.match(
            page,
            new RegExp(`^\\| ${name} \\|`, 'm'),
            `no line of the table "Where things are" is of ${name}`,
        );
});

/** Whether a program has written the page. @param {string} page */
const isWritten = (page) => read(page).includes('do not edit it');

test('README.md: a link leads to each page of docs/', () => {
    const links = [...read('README.md').matchAll(/\]\((docs\/[\w-]+\.md)\)/g)].map(([, page]) => page);
    for (const page of PAGES.filter((name) => name.startsWith('docs/') && !isWritten(name)))
        assert.ok(links.includes(page), `README.md has no link to ${page}`);
});

test('docs/comparison.md: whatever nibble has names the test that proves it, and no cell is missing', () => {
    const lines = read('docs/comparison.md').split('\n');
    let seen = 0,
        columns = 0;
    for (const line of lines) {
        if (!line.startsWith('|')) {
            columns = 0;
            continue;
        }
        const cells = line
            .split('|')
            .slice(1, -1)
            .map((cell) => cell.trim());
        if (!columns)
            columns = cells[1] === 'nibble' ? cells.length : -1; // the first line of a table
        else if (columns > 0 && !/^-+$/.test(cells[0])) {
            const [feature, nibble] = cells;
            seen++;
            assert.ok(cells.length === columns && cells.every(Boolean), `a cell is missing: ${line}`);
            if (/^no(?:$|[,;])/.test(nibble)) continue;
            const tests = nibble.match(/\btests\/[\w./-]+\.(?:js|c)\b/g) ?? [];
            assert.ok(tests.length, `"${feature}" has no test`);
            for (const name of tests)
                assert.ok(
                    /\.test\.js$|\/test_\w+\.c$/.test(name) && existsSync(`${root}${name}`),
                    `${name} is no test`,
                );
        }
    }
    assert.ok(seen > 80, 'the rows were not found');
});

test('documents: no line is wider than 120 columns, except in tables', () => {
    for (const page of PAGES.filter((name) => !isWritten(name)))
        for (const line of read(page).split('\n'))
            assert.ok(line.length <= 120 || line.startsWith('|'), `${page} has a wide line: ${line}`);
});

test('docs/glossary.md: each word is one of the sources', () => {
    const sources = ['src', 'web'].flatMap((folder) =>
        readdirSync(`${root}${folder}`, { recursive: true })
            .filter((name) => /\.(?:[ch]|js)$/.test(String(name)))
            .map((name) => readFileSync(`${root}${folder}/${name}`, 'utf8')),
    );
    const words = new Set(
        sources
            .join('\n')
            .split(/[^A-Za-z0-9_]+/)
            .flatMap((word) => [word, ...word.split('_'), ...word.split(/(?=[A-Z])/)])
            .map((word) => word.toLowerCase()),
    );
    const rows = [...read('docs/glossary.md').matchAll(/^\| (?!word |-)([^|]+) \|/gm)].map(([, cell]) => cell);
    assert.ok(rows.length > 100, 'the rows were not found');
    for (const word of rows.flatMap((cell) => cell.split(/, | /)))
        assert.ok(words.has(word.toLowerCase()), `"${word}" is in no source`);
});
