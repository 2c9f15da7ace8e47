// Bundles the app (app.js) with each bundler, opens it in Chromium, and compares its answer with Node's:
//     node tests/bundlers/run.js [--lean] [NAME...]
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serve } from '../../tools/serve.js';
import { load } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { launch } from '../support/chromium.js';
import { bundlers } from './bundlers.js';

// projects are within this folder, so that they find its node_modules
const work = fileURLToPath(new URL('build/', import.meta.url));

/** Installs the package as npm would. @param {string} home of the project */
function install(home) {
    const target = join(home, 'node_modules/nibble-llm');
    mkdirSync(target, { recursive: true });
    const { status, stderr } = spawnSync('tar', ['-xzf', packed(), '-C', target, '--strip-components=1'], {
        encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
}

/** @type {string | undefined} */
let tarball;
function packed() {
    if (!tarball) {
        const { stdout, stderr, status } = spawnSync(
            'npm',
            ['pack', '--json', '--ignore-scripts', '--pack-destination', work],
            { cwd: root, encoding: 'utf8' },
        );
        if (status !== 0) throw new Error(stderr);
        tarball = join(work, JSON.parse(stdout)[0].filename);
    }
    return tarball;
}

/** The answer in Node. */
export async function expectedAnswer() {
    const model = await load(models.tiny, { threads: 2 });
    const { text } = await model.chat([{ role: 'user', content: 'Tell me a story.' }], {
        maxTokens: 8,
        temperature: 0,
    });
    await model.dispose();
    return `2 threads: ${text}`;
}

/**
 * @param {import('./bundlers.js').Bundler} bundler
 * @param {import('playwright-core').Browser} browser
 * @returns {Promise<string>} what the page shows
 */
export async function tryBundler({ name, build }, browser) {
    const folder = join(work, name.replace(/\W+/g, '-'));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(folder, 'public'), { recursive: true });
    writeFileSync(
        join(folder, 'package.json'),
        '{ "private": true, "type": "module", "dependencies": { "nibble-llm": "*" } }\n',
    );
    writeFileSync(
        join(folder, 'index.html'),
        '<!doctype html><title>A bundle</title><body><script type="module" src="./app.js"></script></body>\n',
    );
    copyFileSync(fileURLToPath(new URL('app.js', import.meta.url)), join(folder, 'app.js'));
    copyFileSync(models.tiny, join(folder, 'public/tiny.gguf'));
    install(folder);
    const built = await build(folder);
    if (built.script) {
        const { stdout, stderr } = spawnSync(process.execPath, [built.script, models.tiny], {
            encoding: 'utf8',
            timeout: 60_000,
        });
        return stdout.trim() || stderr;
    }
    if (built.folder) copyFileSync(models.tiny, join(built.folder, 'tiny.gguf'));
    const site = built.folder ? await serve({ root: built.folder }) : undefined;
    const page = await browser.newPage();
    /** @type {string[]} */
    const said = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(error.message));
    try {
        await page.goto(`${site?.url ?? built.url}index.html`);
        await page.waitForSelector('body[data-answer]', { state: 'attached', timeout: 60_000 }).catch((error) => {
            throw new Error([error.message, ...said].join('\n'));
        });
        const answer = await page.evaluate(() => document.body.dataset.answer ?? '');
        return built.output === undefined || built.output === answer
            ? answer
            : `${answer}, but on the server: ${built.output}`;
    } finally {
        await page.close();
        await site?.close();
        await built.close?.();
    }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const names = process.argv.slice(2).filter((word) => !word.startsWith('--')),
        lean = process.argv.includes('--lean');
    const expected = await expectedAnswer(),
        browser = await launch();
    for (const bundler of bundlers.filter(
        ({ name, lean: isLean }) => (names.length === 0 || names.includes(name)) && (!lean || isLean),
    )) {
        const began = performance.now();
        const answer = await tryBundler(bundler, browser).catch((error) => `${error.stack ?? error}`);
        const seconds = ((performance.now() - began) / 1000).toFixed(1);
        console.log(
            answer === expected
                ? `ok   ${bundler.name} (${seconds} s)`
                : `FAIL ${bundler.name} (${seconds} s): ${answer}`,
        );
        if (answer !== expected) process.exitCode = 1;
    }
    await browser.close();
    process.exit();
}
