// Writes a seed corpus for fuzz_integer: integer_seeds.js FOLDER
// The seeds are small Llamas to be converted to integers, and converted ones; each of them with an allocation that
// fails; and converted ones with every 53rd byte of their second half changed.
import { readFileSync } from 'node:fs';
import { quantize } from '../../web/index.js';
import { corpus, fixtures } from './seeds.js';

const seeds = corpus();
const names = [
    'odd-sizes',
    'separate-output',
    'one-kv-head',
    'rope-linear',
    'rope-llama3',
    'head-size-10',
    'type-q8_0',
    'biases',
];
for (const [i, name] of names.entries()) {
    const path = `${fixtures}models/${name}.gguf`,
        file = readFileSync(path);
    seeds.put(name, Buffer.from([1, 0, 0, i]), file);
    seeds.put(`${name}-refused`, Buffer.from([1, i + 3, 0, i]), file);
    if (name === 'biases') continue;
    const made = Buffer.from(await new Response(quantize(path, { method: 'integer' })).arrayBuffer());
    seeds.put(`${name}-integers`, Buffer.from([0, 0, 0, i]), made);
    seeds.put(`${name}-integers-refused`, Buffer.from([0, i + 1, 0, i]), made);
    for (let at = made.length >> 1; at < made.length; at += 53) made[at] ^= 0x80 >> i;
    seeds.put(`${name}-corrupted`, Buffer.from([0, 0, 0, i]), made);
}
seeds.close();
