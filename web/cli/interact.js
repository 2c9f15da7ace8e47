/** The chat in the terminal: `nibble run MODEL`. */
import { createInterface } from 'node:readline';
import { oneLine, write } from './terminal.js';

const HELP = `  /reset    forget the conversation
  /help     this
  /exit     leave (so does Ctrl-D)
  Ctrl-C    stop the answer; at the prompt, leave
`;

/**
 * @param {import('../index.d.ts').Model} model
 * @param {import('../index.d.ts').ChatOptions} settings
 * @param {string | undefined} system
 */
export async function interact(model, settings, system) {
    const { name, build, threads } = model.info;
    const computes = `${build}, ${threads} thread${threads > 1 ? 's' : ''}`;
    write(`${oneLine(name ?? 'The model')} is ready (${computes}). /help lists the commands.\n`);
    const start = system === undefined ? [] : [{ role: 'system', content: system }];
    let messages = [...start];
    /** @type {import('../index.d.ts').Generation | undefined} */
    let answer;
    const lines = readLines(() => answer);
    for await (const line of lines) {
        const text = line.trim();
        if (text === '') continue;
        if (text === '/exit' || text === '/quit') break;
        if (text === '/help') {
            write(HELP);
        } else if (text === '/reset') {
            messages = [...start];
            write('The conversation is forgotten.\n');
        } else if (/^\/[a-z]+$/.test(text)) {
            write(`There is no command ${text}.\n${HELP}`);
        } else {
            messages.push({ role: 'user', content: text });
            try {
                answer = model.chat(messages, settings);
                for await (const piece of answer) write(piece);
                const result = await answer;
                messages.push({ role: 'assistant', content: result.text });
                write(
                    result.finishReason === 'stop'
                        ? '\n'
                        : ` [${result.finishReason === 'abort' ? 'stopped' : 'cut at its length'}]\n`,
                );
            } catch (error) {
                messages.pop(); // the conversation goes on without what failed
                write(`${oneLine(error instanceof Error ? error.message : String(error))}\n`);
                if (/** @type {any} */ (error)?.code === 'NB_ERR_CONTEXT') write('/reset starts a new conversation.\n');
            } finally {
                answer = undefined;
            }
        }
    }
    write('\n');
}

/**
 * The lines that are typed or pasted, each when its turn comes: those that come while an answer is written wait.
 * Ctrl-D ends them after what came before it, as the end of any input does; so does Ctrl-C where there is no answer
 * to stop.
 * @param {() => import('../index.d.ts').Generation | undefined} answering
 * @returns {AsyncGenerator<string, void, undefined>}
 */
async function* readLines(answering) {
    const terminal = createInterface({
        input: process.stdin,
        output: process.stdout,
        historySize: 1000,
        prompt: '\n> ',
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
        const answer = answering();
        waiting.length = 0;
        if (answer) answer.stop();
        else terminal.close();
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
            terminal.prompt();
            await new Promise((resolve) => {
                wake = () => resolve(undefined);
            });
        }
    } finally {
        terminal.close();
    }
}
