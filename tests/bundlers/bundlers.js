// The bundlers, with no more configuration than docs/javascript.md says. build(folder) bundles folder/app.js and
// index.html, and returns a folder to serve, the address of its own server, or a script for Node.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const require = createRequire(import.meta.url);

/**
 * script: a bundle for Node. output: an answer that was given without a page.
 * @typedef {{ folder?: string, url?: string, script?: string, output?: string, close?: () => unknown }} Built
 */
/**
 * lean: `make test` tries it, too.
 * @typedef {{ name: string, lean?: boolean, build: (folder: string) => Promise<Built> }} Bundler
 */

const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const page = (/** @type {string} */ script) =>
    `<!doctype html><title>A bundle</title><body><script type="module" src="${script}"></script></body>\n`;

/** The exports of a package in tests/bundlers. @param {string} name @returns {Promise<any>} */
const get = (name) => import(name);

/** @param {string} name of the package @param {boolean} exclude whether its server needs docs/javascript.md's line */
function vite(name, exclude) {
    const config = (/** @type {string} */ root) => ({
        root,
        configFile: false,
        logLevel: 'error',
        publicDir: 'public',
        server: { host: '127.0.0.1', headers: ISOLATION },
        ...(exclude ? { optimizeDeps: { exclude: ['nibble-llm'] } } : {}),
    });
    return [
        {
            name: `${name} build`,
            lean: name === 'vite',
            async build(/** @type {string} */ folder) {
                const { build } = await get(name);
                await build(config(folder));
                return { folder: join(folder, 'dist') };
            },
        },
        {
            name: `${name} dev`,
            lean: name === 'vite',
            async build(/** @type {string} */ folder) {
                const { createServer } = await get(name);
                const server = await (await createServer(config(folder))).listen();
                return { url: server.resolvedUrls.local[0], close: () => server.close() };
            },
        },
    ];
}

/** @param {string} name of the package @param {'web' | 'node'} [target] @returns {Bundler} */
const webpack = (name, target = 'web') => ({
    name: target === 'web' ? name : `${name} for Node`,
    lean: name === 'webpack',
    async build(folder) {
        const { default: run } = await get(name),
            filename = target === 'web' ? 'app.js' : 'app.cjs';
        const stats = await new Promise((resolve, reject) =>
            run(
                {
                    mode: 'production',
                    target,
                    context: folder,
                    entry: './app.js',
                    output: { path: join(folder, 'dist'), filename },
                },
                (/** @type {any} */ error, /** @type {any} */ result) => (error ? reject(error) : resolve(result)),
            ),
        );
        if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));
        writeFileSync(join(folder, 'dist/index.html'), page('app.js'));
        return target === 'web' ? { folder: join(folder, 'dist') } : { script: join(folder, 'dist', filename) };
    },
});

/** @param {string} folder @param {object} options @param {string} outfile */
async function esbuild(folder, options, outfile) {
    const { build } = await get('esbuild');
    await build({
        entryPoints: [join(folder, 'app.js')],
        bundle: true,
        outfile: join(folder, outfile),
        logLevel: 'warning',
        ...options,
    });
    return join(folder, outfile);
}

/** Copies build/ beside the folder of the bundle, because esbuild and Rollup do not handle `new URL(...)`, which then
 * points there.
 * @param {string} folder */
function copyBuild(folder) {
    cpSync(join(folder, 'node_modules/nibble-llm/build'), join(folder, 'dist/build'), { recursive: true });
    writeFileSync(join(folder, 'dist/index.html'), page('js/app.js'));
    return { folder: join(folder, 'dist') };
}

/** @param {boolean} turbopack @returns {Bundler} */
const next = (turbopack) => ({
    name: `next ${turbopack ? 'turbopack' : 'webpack'}`,
    async build(folder) {
        mkdirSync(join(folder, 'app'));
        writeFileSync(
            join(folder, 'app/layout.js'),
            `export default ({ children }) => <html><body>{children}</body></html>;\n`,
        );
        writeFileSync(
            join(folder, 'app/page.js'),
            `'use client';
            import { useEffect, useState } from 'react';
            import { answer } from '../app.js';
            export default function Page() {
                const [text, setText] = useState('');
                useEffect(() => { answer(new URL('/tiny.gguf', location.href)).catch((error) => String(error)).then(setText); }, []);
                useEffect(() => { if (text) document.body.dataset.answer = text; }, [text]);
                return <p>{text}</p>;
            }\n`,
        );
        // the server renders the page while it is built, and so the answer is in the output
        mkdirSync(join(folder, 'app/answer'));
        writeFileSync(
            join(folder, 'app/answer/route.js'),
            `import { answer } from '../../app.js';
            export const dynamic = 'force-static';
            export const GET = async () => new Response(await answer(${JSON.stringify(join(folder, 'public/tiny.gguf'))}));\n`,
        );
        writeFileSync(
            join(folder, 'next.config.mjs'),
            `export default {
            output: 'export', ${turbopack ? '' : 'serverExternalPackages: ["nibble-llm"], '}turbopack: { root: ${JSON.stringify(here)} }, outputFileTracingRoot: ${JSON.stringify(here)} };\n`,
        );
        const { status, stdout, stderr } = spawnSync(
            process.execPath,
            [join(here, 'node_modules/next/dist/bin/next'), 'build', turbopack ? '--turbopack' : '--webpack'],
            { cwd: folder, encoding: 'utf8', env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' }, timeout: 600_000 },
        );
        if (status !== 0) throw new Error(stdout + stderr);
        return { folder: join(folder, 'out'), output: readFileSync(join(folder, 'out/answer'), 'utf8') };
    },
});

/** @type {Bundler[]} */
export const bundlers = [
    ...vite('vite5', true),
    ...vite('vite', true),
    ...vite('vite8', false),
    webpack('webpack75'),
    webpack('webpack'),
    webpack('webpack', 'node'),
    webpack('webpack99'),
    webpack('webpack99', 'node'),
    {
        name: 'esbuild',
        lean: true,
        async build(folder) {
            await esbuild(folder, { format: 'esm' }, 'dist/js/app.js');
            return copyBuild(folder);
        },
    },
    {
        name: 'esbuild for Node',
        async build(folder) {
            const script = await esbuild(folder, { platform: 'node', format: 'esm' }, 'dist/js/app.mjs');
            copyBuild(folder);
            return { script };
        },
    },
    {
        name: 'esbuild for Node, external',
        async build(folder) {
            const options = {
                platform: 'node',
                format: 'cjs',
                external: ['nibble-llm'],
                supported: { 'dynamic-import': true },
            };
            writeFileSync(
                join(folder, 'app.js'),
                `import('nibble-llm').then(async ({ load }) => {
                const model = await load(process.argv[2], { threads: 2 });
                const { text } = await model.chat([{ role: 'user', content: 'Tell me a story.' }], { maxTokens: 8, temperature: 0 });
                console.log(\`\${model.info.threads} threads: \${text}\`);
            });`,
            );
            return { script: await esbuild(folder, options, 'dist/app.cjs') };
        },
    },
    {
        name: 'rollup',
        async build(folder) {
            const { rollup } = await get('rollup');
            const resolve = {
                // as @rollup/plugin-node-resolve does
                name: 'resolve',
                resolveId: (/** @type {string} */ id) =>
                    id === 'nibble-llm' ? join(folder, 'node_modules/nibble-llm/web/index.js') : null,
            };
            const bundle = await rollup({ input: join(folder, 'app.js'), plugins: [resolve] });
            await bundle.write({ dir: join(folder, 'dist/js'), format: 'es' });
            return copyBuild(folder);
        },
    },
    {
        name: 'parcel',
        async build(folder) {
            const { Parcel } = await get('@parcel/core');
            await new Parcel({
                entries: join(folder, 'index.html'),
                defaultConfig: require.resolve('@parcel/config-default'),
                mode: 'production',
                shouldDisableCache: true,
                cacheDir: join(folder, 'cache'),
                defaultTargetOptions: { distDir: join(folder, 'dist'), publicUrl: '/' },
            }).run();
            return { folder: join(folder, 'dist') };
        },
    },
    next(true),
    next(false),
];
