/** `nibble run`: continues a text, answers a message, or chats. */
import { GENERATE_OPTIONS, TEMPLATE_OPTIONS } from '../options.js';
import { showAnswer } from './conversation.js';
import { interact } from './interact.js';
import { open, pick } from './open-model.js';
import { write, writeJson } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('./usage.js').Command} Command */

/** @type {Command['run']} */
export async function commandRun(args, signal) {
    const { prompt, chat, system, json } = args.values;
    if (prompt !== undefined && chat !== undefined)
        throw new UsageError('--prompt and --chat exclude each other: one continues a text, the other answers it');
    if (prompt !== undefined && system !== undefined)
        throw new UsageError('--system belongs to a chat, and --prompt is not one');
    if (prompt !== undefined && Object.keys(args.values.templateVariables).length > 0)
        throw new UsageError("--variables are for a chat's template, which --prompt does not use");
    if (prompt !== undefined && args.values.thinking !== undefined)
        throw new UsageError('--thinking is for a chat, and --prompt is not one');
    if (prompt === undefined && args.values.special)
        throw new UsageError('--special belongs to --prompt: in a chat only the template writes special tokens');
    const interactive = prompt === undefined && chat === undefined;
    if (interactive && json) throw new UsageError('--json needs a --prompt or a --chat');
    if (interactive && !(process.stdin.isTTY && process.stdout.isTTY))
        throw new UsageError('a --prompt or a --chat is needed, because this is not a terminal to chat in');
    if (args.values.logprobs && !json) throw new UsageError('--logprobs needs --json, which prints them');
    if (args.values.topLogprobs > 0 && !args.values.logprobs) throw new UsageError('--top-logprobs needs --logprobs');
    if (args.values.keep !== undefined && args.values.contextOverflow === 'error')
        throw new UsageError('--keep needs --context-overflow slide or shift');
    if (args.values.keep !== undefined && prompt === undefined)
        throw new UsageError('--keep belongs to --prompt: a chat keeps its system message and its last message');
    const model = await open(args, signal);
    const settings = pick(GENERATE_OPTIONS, args.values),
        template = pick(
            { thinking: TEMPLATE_OPTIONS.thinking, templateVariables: TEMPLATE_OPTIONS.templateVariables },
            args.values,
        );
    if (interactive) {
        await interact(model, { ...settings, ...template }, system);
    } else {
        const start = system === undefined ? [] : [{ role: 'system', content: system }];
        const answer =
            prompt !== undefined
                ? model.complete(prompt, { ...settings, signal })
                : model.chat([...start, { role: 'user', content: chat }], { ...settings, ...template, signal });
        if (json) {
            writeJson(await answer);
        } else {
            await showAnswer(answer, write, process.stdout.isTTY === true);
            write('\n');
        }
    }
    await model.dispose();
}
