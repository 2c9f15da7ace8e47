// Makes of an npm package what the demo can import as it is, build/uplot.js (with its types) and build/uplot.css; of that
// and web/report/ the script and the style of comparisons' pages, build/report.js and build/report.css. Of
// the renderer of chat templates one script, build/jinja.js, which is loaded when there is a chat. And of each worker
// with all that it imports one file, build/engine-worker.js and build/pool-worker.js: bundlers copy such a file as it
// is, a page has everything with one request, and it runs as a module and as a classic script alike.

import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Bundles one package into one ES module that opens with the package's licence.
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
    // Vite makes a data: address of a file below 4 KB, which a strict page forbids
    const padding = Math.max(0, 4100 - output.contents.length);
    // another process may read it at this moment
    const file = `${root}build/${out}.js`;
    writeFileSync(`${file}.${process.pid}`, output.text + (padding ? `/*${' '.repeat(padding)}*/\n` : ''));
    renameSync(`${file}.${process.pid}`, file);
}

copyFileSync(`${root}node_modules/uplot/dist/uPlot.min.css`, `${root}build/uplot.css`);

// what `nibble compare --html` puts into its pages
await bundleOwn('report/plots', 'report', { format: 'iife', minify: true });
await build({
    entryPoints: [`${root}web/report/report.css`],
    outfile: `${root}build/report.css`,
    bundle: true,
    minify: true,
    logLevel: 'warning',
});

// a script that importOwn() runs
await bundleOwn('jinja/jinja', 'jinja', {
    format: 'iife',
    minify: true,
    globalName: 'nibbleExports',
    footer: { js: 'globalThis[Symbol.for("nibble-llm/jinja")] = nibbleExports;' },
});
for (const name of ['engine-worker', 'pool-worker'])
    await bundleOwn(`worker/${name}`, name, {
        format: 'iife', // not minified: what a trace of an error names can be read
        define: { 'import.meta.url': 'undefined' }, // it is told where nibble's files are
    });
