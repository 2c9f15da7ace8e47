// Makes of npm packages what a page can import as it is: build/jinja.js, build/uplot.js (each with its types) and
// build/uplot.css. And of the engine's worker with all that it imports one file, build/engine-worker.js: a page asks for it and
// has everything, where each file by itself would cost some milliseconds, and those behind the first one another round trip.
import { build } from 'esbuild';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

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

await bundle('@huggingface/jinja', 'dist/index.js', 'build/jinja.js');
await bundle('uplot', 'dist/uPlot.esm.js', 'build/uplot.js');
copyFileSync(`${root}node_modules/uplot/dist/uPlot.min.css`, `${root}build/uplot.css`);

await build({
    entryPoints: [`${root}web/engine-worker.js`],
    outfile: `${root}build/engine-worker.js`,
    bundle: true,
    format: 'esm',
    target: 'es2022', // not minified: what a trace of an error names can be read
    logLevel: 'warning',
});
