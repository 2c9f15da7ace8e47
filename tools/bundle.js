// Bundles, into build/:
// - uplot.js (with its types) and uplot.css: the npm package uplot, as the demo imports it;
// - report.js and report.css: uplot and web/report/, for the pages of `nibble compare --html`;
// - jinja.js: the renderer of chat templates, which is loaded for the first chat;
// - engine-worker.js and pool-worker.js: each worker with all that it imports. Bundlers copy such a file as it is, a
//   page needs one request for it, and it runs both as a module and as a classic script.

import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Bundles one package into one ES module that begins with the package's licence.
 * @param {string} name @param {string} entry @param {string} out */
async function bundle(name, entry, out) {
    const folder = `${root}node_modules/${name}/`;
    const { version } = JSON.parse(readFileSync(`${folder}package.json`, 'utf8'));
    const licence = readFileSync(`${folder}LICENSE`, 'utf8').trim();
    await build({
        entryPoints: [folder + entry],
        outfile: root + out,
        bundle: true,
        format: 'esm',
        minify: true,
        target: 'es2022',
        banner: { js: `/*! ${name} ${version}\n\n${licence}\n*/` },
        logLevel: 'warning',
    });
    writeFileSync(root + out.replace(/js$/, 'd.ts'), `export * from '${name}';\nexport { default } from '${name}';\n`);
}

await bundle('uplot', 'dist/uPlot.esm.js', 'build/uplot.js');

/** @param {string} entry a file of web/ @param {string} out @param {import('esbuild').BuildOptions} options */
async function bundleOwn(entry, out, options) {
    const { outputFiles: [output] = [] } = await build({
        entryPoints: [`${root}web/${entry}.js`],
        bundle: true,
        target: 'es2022',
        banner: { js: `/*! nibble-llm\n\n${readFileSync(`${root}LICENSE`, 'utf8').trim()}\n*/` },
        write: false,
        logLevel: 'warning',
        ...options,
    });
    // Vite turns a file below 4 KB into a data: URL, which a strict Content-Security-Policy forbids
    const padding = Math.max(0, 4100 - output.contents.length);
    // written under another name and renamed, because another process may read it at this moment
    const file = `${root}build/${out}.js`;
    writeFileSync(`${file}.${process.pid}`, output.text + (padding ? `/*${' '.repeat(padding)}*/\n` : ''));
    renameSync(`${file}.${process.pid}`, file);
}

copyFileSync(`${root}node_modules/uplot/dist/uPlot.min.css`, `${root}build/uplot.css`);

await bundleOwn('report/plots', 'report', { format: 'iife', minify: true });
await build({
    entryPoints: [`${root}web/report/report.css`],
    outfile: `${root}build/report.css`,
    bundle: true,
    minify: true,
    logLevel: 'warning',
});

// importOwn() (web/platform.js) runs it as a script
await bundleOwn('jinja/jinja', 'jinja', {
    format: 'iife',
    minify: true,
    globalName: 'nibbleExports',
    footer: { js: 'globalThis[Symbol.for("nibble-llm/jinja")] = nibbleExports;' },
});
for (const name of ['engine-worker', 'pool-worker'])
    await bundleOwn(`worker/${name}`, name, {
        format: 'iife', // not minified, so that stack traces name functions
        define: { 'import.meta.url': 'undefined' }, // a message tells the worker where nibble's files are
    });
