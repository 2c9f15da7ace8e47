// How fast the tokenizers are: node tests/bench/tokenize.js TEXT [VOCABULARY.gguf ...]
// Prints MB/s of the core alone (the UTF-8 lies in linear memory, the tokens stay there), the text given in pieces of
// 1 MB, and how many tokens it has. Seconds are the processor's, so that what else runs disturbs little. Without
// vocabularies: all that make vocabularies has fetched, and Gemma's where it is.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { Engine } from '../../web/engine.js';
import { models, root, vocabularies } from '../builds.js';

const PIECE = 1 << 20;

/** @param {string} path @param {Buffer} text */
async function time(path, text) {
    const { core, model } = await Engine.load({ kind: 'path', path }, { headerOnly: true, build: 'simd128' },
        /** @type {any} */ ({ progress: () => {}, nextFromPort: () => {} }));
    const at = core.take(PIECE, 'text'), out = core.take(4 * PIECE, 'tokens');
    const encode = (/** @type {number} */ from) => {
        const piece = text.subarray(from, from + PIECE);
        core.bytes(at, piece.length).set(piece);
        return core.count('nb_tokenize', model, at, piece.length, 0, out, PIECE);
    };
    encode(0); // the engine compiles it anew, for speed, while it runs
    const start = process.cpuUsage();
    let tokens = 0;
    for (let from = 0; from < text.length; from += PIECE) tokens += encode(from);
    const { user, system } = process.cpuUsage(start);
    return { speed: text.length / (user + system), tokens };
}

const [textFile, ...files] = process.argv.slice(2);
if (!textFile) throw new Error('usage: node tests/bench/tokenize.js TEXT [VOCABULARY.gguf ...]');
const text = readFileSync(textFile);
const found = existsSync(vocabularies) ? readdirSync(vocabularies).filter(name => name.endsWith('.gguf')).sort() : [];
const all = [...found.map(name => vocabularies + name), models.gemma].filter(existsSync);
for (const path of files.length > 0 ? files : all) {
    const { speed, tokens } = await time(path, text);
    console.log(`${path.replace(root, '').padEnd(50)} ${speed.toFixed(1).padStart(6)} MB/s  ${tokens} tokens`);
}
