// How long save() and restore() take, beside evaluating the text again:
//     node tests/bench/saving.js MODEL [TOKENS]
// Medians of five runs in milliseconds. The first restore() of a model computes the checksum of its weights, too.
import { median } from '../../demo/bench-work.js';
import { load } from '../../web/index.js';

const [path, count = '1000'] = process.argv.slice(2);
if (!path) throw new Error('the command is: node tests/bench/saving.js MODEL [TOKENS]');
const n = Number(count);
const RUNS = 5;

/** @template T @param {() => Promise<T>} f @returns {Promise<{ ms: number, result: T }>} */
async function timed(f) {
    const start = performance.now(),
        result = await f();
    return { ms: performance.now() - start, result };
}

const options = { contextLength: n + 64 },
    first = await load(path, options),
    second = await load(path, options);
const tokens = Array.from({ length: n }, (_, i) => 100 + ((i * 7919) % ((first.info.vocabulary ?? 0) - 200)));
const evaluated = await timed(() => first.complete(tokens, { maxTokens: 1, ignoreEnd: true }));
const saves = [],
    restores = [];
/** @type {Uint8Array} */
let bytes = new Uint8Array();
for (let i = 0; i < RUNS; i++) {
    const save = await timed(() => first.save());
    bytes = save.result;
    saves.push(save.ms);
    restores.push((await timed(() => second.restore(bytes))).ms);
}
console.log(`${n} tokens, ${(bytes.length / 1e6).toFixed(1)} MB, ${first.info.build}`);
console.log(
    `evaluate ${evaluated.ms.toFixed(1)}, save ${median(saves).toFixed(1)}, restore ${median(restores).toFixed(1)}`,
);
console.log(`the first: save ${saves[0].toFixed(1)}, restore ${restores[0].toFixed(1)}`);
const [a, b] = await Promise.all(
    [first, second].map((model) => model.complete(tokens, { maxTokens: 32, temperature: 0, ignoreEnd: true })),
);
if (String(a.tokens) !== String(b.tokens)) throw new Error('the restored model goes on differently');
await first.dispose();
await second.dispose();
