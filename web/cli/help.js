/** The help texts, and the names of commands. */
import { readFileSync } from 'node:fs';
import { nearest } from '../checks.js';
import { COMMANDS } from './commands.js';
import { UsageError } from './usage.js';

export const version = () => JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;

const MODEL = 'MODEL is a GGUF file or a folder of safetensors files: a path, a URL, hf:owner/repo for one on the hub';
/** For commands whose model has no flag. */
const MODEL_OR_INPUT = `${MODEL}, or -\nfor standard input.`;

export function overview() {
    const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`);
    return `nibble ${version()}: runs quantized language models in WebAssembly

Usage: nibble COMMAND MODEL [options]

${lines.join('\n')}

${MODEL_OR_INPUT}

nibble COMMAND --help lists a command's options. nibble --version prints the version.
With NIBBLE_DEBUG=1 in the environment, standard error reports each stage of a load, which build was chosen and why, and
the timings of each request.

Examples:
  nibble run model.gguf                                    chat in the terminal
  nibble run model.gguf --chat "Why is the sky blue?"
  nibble run model.gguf --prompt "Once upon a time" --temperature 0.7 --seed 1
  nibble serve model.gguf                                  answer the clients of OpenAI's API
  nibble inspect https://example.org/model.gguf
  nibble quantize folder model.gguf --type q4_k_m
  nibble compare folder model.gguf --file text.txt --html comparison.html
  nibble train --init model.gguf --data text.txt -o trained.gguf
  nibble tune small.gguf --teacher model.gguf --data text.txt -o tuned.gguf
`;
}

/** @param {string} name as it was typed @returns {string} a command's */
export function known(name) {
    if (Object.hasOwn(COMMANDS, name)) return name;
    const near = nearest(name, Object.keys(COMMANDS));
    throw new UsageError(`unknown command ${name}${near ? `; did you mean ${near}?` : ''}`);
}

/** @param {string} name */
export function commandHelp(name) {
    const { usage, summary, flags, flagsOnly, rereads } = COMMANDS[name];
    const lines = flags.map((flag) => {
        const head = `  ${flag.short ? `-${flag.short}, ` : ''}--${flag.flag}${flag.value ? ` ${flag.value}` : ''}`;
        const choices = flag.choices ? `; one of ${flag.choices.join(', ')}` : '';
        const hidesDefault = flag.default === undefined || flag.type === 'switch' || typeof flag.default === 'object';
        const begin = head.length < 26 ? head.padEnd(26) : `${head}\n${' '.repeat(26)}`;
        return `${begin}${wrap(`${flag.help}${choices}${hidesDefault ? '' : ` (default: ${flag.default})`}`, 26)}`;
    });
    const takesModel = [usage, ...flags.map(({ value }) => value)].some((words) => words?.includes('MODEL')),
        model = takesModel ? `\n${flagsOnly || rereads ? `${MODEL}.` : MODEL_OR_INPUT}` : '',
        what = wrap(`${summary[0].toUpperCase()}${summary.slice(1)}.`, 0) + model;
    return `Usage: ${usage}\n\n${what}\n\n${lines.join('\n')}\n`;
}

/** @param {string} text @param {number} indent */
function wrap(text, indent) {
    const lines = [''];
    for (const word of text.split(' ')) {
        const line = lines[lines.length - 1];
        if (line && indent + line.length + word.length > 110) lines.push(word);
        else lines[lines.length - 1] = line ? `${line} ${word}` : word;
    }
    return lines.join(`\n${' '.repeat(indent)}`);
}
