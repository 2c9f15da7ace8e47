// Makes of npm packages what a page can import as it is: build/jinja.js, build/uplot.js (each with its types) and
// build/uplot.css. And of each worker with all that it imports one file, build/engine-worker.js and build/pool-worker.js: bundlers copy
// such a file as it is, a page has everything with one request, and it runs as a module and as a classic script alike.
import { build } from 'esbuild';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Bundles one package into one file that opens with the package's licence: an ES module, or a script that importOwn() runs.
 * @param {string} name @param {string} entry @param {string} out @param {string} [handedOver] by this name: makes it a script */
async function bundle(name, entry, out, handedOver) {
    const folder = `${root}node_modules/${name}/`;
    const { version } = JSON.parse(readFileSync(`${folder}package.json`, 'utf8'));
    const licence = readFileSync(`${folder}LICENSE`, 'utf8').trim();
    await build({
        entryPoints: [folder + entry],
        outfile: root + out,
        bundle: true,
        ...(handedOver ? handOver(handedOver) : { format: 'esm' }),
        minify: true,
        target: 'es2022',
        banner: { js: `/*! ${name} ${version}\n\n${licence}\n*/` },
        logLevel: 'warning',
    });
    if (!handedOver) writeFileSync(root + out.replace(/js$/, 'd.ts'), `export * from '${name}';\nexport { default } from '${name}';\n`);
}

/** A script that hands over what it exports. @param {string} name @returns {import('esbuild').BuildOptions} */
function handOver(name) {
    return { format: 'iife', globalName: 'nibbleExports', footer: { js: `globalThis[Symbol.for("nibble-llm/${name}")] = nibbleExports;` } };
}

await bundle('@huggingface/jinja', 'dist/index.js', 'build/jinja.js', 'jinja');
await bundle('uplot', 'dist/uPlot.esm.js', 'build/uplot.js');
copyFileSync(`${root}node_modules/uplot/dist/uPlot.min.css`, `${root}build/uplot.css`);

for (const name of ['engine-worker', 'pool-worker']) {
    const { outputFiles } = await build({
        entryPoints: [`${root}web/${name}.js`],
        bundle: true,
        format: 'iife',
        target: 'es2022', // not minified: what a trace of an error names can be read
        define: { 'import.meta.url': 'undefined' }, // it is told where nibble's files are
        banner: { js: `/*! nibble-llm\n\n${readFileSync(`${root}LICENSE`, 'utf8').trim()}\n*/` },
        write: false,
        logLevel: 'warning',
    });
    // Vite makes a data: address of a file below 4 KB, which a strict page forbids
    const padding = Math.max(0, 4100 - outputFiles[0].contents.length);
    // another process may read it at this moment
    const out = `${root}build/${name}.js`;
    writeFileSync(`${out}.${process.pid}`, outputFiles[0].text + (padding ? `/*${' '.repeat(padding)}*/\n` : ''));
    renameSync(`${out}.${process.pid}`, out);
}
