/** The chat in the terminal: `nibble run MODEL`. */
import { createInterface } from 'node:readline';
import { Conversation } from './conversation.js';
import { oneLine, write } from './terminal.js';

/**
 * @param {import('../index.d.ts').Model} model
 * @param {import('../index.d.ts').ChatOptions} settings
 * @param {string | undefined} system
 */
export async function interact(model, settings, system) {
    const { name, build, threads } = model.info;
    const computes = `${build}, ${threads} thread${threads > 1 ? 's' : ''}`;
    write(`${oneLine(name ?? 'The model')} is ready (${computes}). /help lists the commands.\n`);
    const conversation = new Conversation(model, settings, system, write);
    for await (const line of readLines(conversation)) if (await conversation.take(line)) break;
    write('\n');
}

/**
 * The lines that are typed or pasted, each when its turn comes: those that come while an answer is written wait.
 * Ctrl-D ends them after what came before it, as the end of any input does; so does Ctrl-C where there is no answer
 * to stop.
 * @param {Conversation} conversation
 * @returns {AsyncGenerator<string, void, undefined>}
 */
async function* readLines(conversation) {
    const terminal = createInterface({
        input: process.stdin,
        output: process.stdout,
        historySize: 1000,
    });
    /** @type {string[]} */
    const waiting = [];
    let over = false,
        wake = () => {};
    terminal.on('line', (line) => {
        waiting.push(line);
        wake();
    });
    terminal.on('SIGINT', () => {
        // the terminal is in raw mode: Ctrl-C comes here, not as a signal
        const { answer, goesOn } = conversation;
        waiting.length = 0;
        if (answer) answer.stop();
        else if (goesOn) {
            conversation.drop();
            wake();
        } else terminal.close();
    });
    terminal.on('close', () => {
        over = true;
        wake();
    });
    try {
        while (!over || waiting.length > 0) {
            const line = waiting.shift();
            if (line !== undefined) {
                yield line;
                continue;
            }
            terminal.setPrompt(conversation.goesOn ? '. ' : '\n> ');
            terminal.prompt();
            await new Promise((resolve) => {
                wake = () => resolve(undefined);
            });
        }
    } finally {
        terminal.close();
    }
}
