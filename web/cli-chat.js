/** The chat in the terminal: `nibble run MODEL`. */
import { createInterface } from 'node:readline/promises';

const HELP = `  /reset    forget the conversation
  /help     this
  /exit     leave (so does Ctrl-D)
  Ctrl-C    stop the answer; at the prompt, leave
`;

/**
 * @param {import('./index.d.ts').Model} model
 * @param {import('./index.d.ts').GenerateOptions} settings
 * @param {string | undefined} system
 */
export async function interact(model, settings, system) {
    const { stdin: input, stdout: output } = process;
    const { name, build, threads } = model.info;
    output.write(`${name ?? 'The model'} is ready (${build}, ${threads} thread${threads > 1 ? 's' : ''}). /help lists the commands.\n`);
    const start = system === undefined ? [] : [{ role: 'system', content: system }];
    let messages = [...start];
    const terminal = createInterface({ input, output, historySize: 1000 });
    /** @type {import('./index.d.ts').Generation | undefined} */
    let answer;
    // the terminal is in raw mode: Ctrl-C comes here, not as a signal
    terminal.on('SIGINT', () => (answer ? answer.stop() : terminal.close()));
    const closed = new Promise((resolve) => terminal.once('close', () => resolve(undefined)));
    for (;;) {
        const line = await Promise.race([terminal.question('\n> '), closed]);
        if (line === undefined)
            break;
        const text = line.trim();
        if (text === '')
            continue;
        if (text === '/exit' || text === '/quit')
            break;
        if (text === '/help') {
            output.write(HELP);
        } else if (text === '/reset') {
            messages = [...start];
            output.write('The conversation is forgotten.\n');
        } else if (/^\/[a-z]+$/.test(text)) {
            output.write(`There is no command ${text}.\n${HELP}`);
        } else {
            messages.push({ role: 'user', content: text });
            try {
                answer = model.chat(messages, settings);
                for await (const piece of answer)
                    output.write(piece);
                const result = await answer;
                messages.push({ role: 'assistant', content: result.text });
                output.write(result.finishReason === 'stop' ? '\n' : ` [${result.finishReason === 'abort' ? 'stopped' : 'cut at its length'}]\n`);
            } catch (error) {
                messages.pop(); // the conversation goes on without what failed
                output.write(`${error instanceof Error ? error.message : error}\n`);
                if (/** @type {any} */ (error)?.code === 'NB_ERR_CONTEXT')
                    output.write('/reset starts a new conversation.\n');
            } finally {
                answer = undefined;
            }
        }
    }
    terminal.close();
    output.write('\n');
}
