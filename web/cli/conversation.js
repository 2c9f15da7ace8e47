/** A conversation in the terminal: what each typed line does. interact.js reads the lines. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { checkMessages } from '../api/messages.js';
import { messageOf } from '../errors.js';
import { NibbleError } from '../index.js';
import { checkPlace, readInput, writeWhole } from './files.js';
import { oneLine } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('../index.d.ts').Message} Message */
/** @typedef {import('../index.d.ts').Generation} Generation */

/**
 * takes: what follows the command. run returns true if the conversation is over.
 * @typedef {{ takes?: string, help: string,
 *     run: (conversation: Conversation, rest: string) => Promise<boolean | void> | boolean | void }} Command
 */

/** @type {Record<string, Command>} */
const COMMANDS = {
    '/reset': {
        help: 'forget the conversation',
        run: (conversation) => {
            conversation.messages = conversation.begin();
            conversation.print('The conversation is forgotten.\n');
        },
    },
    '/undo': {
        help: 'forget the last message and its answer',
        run: (conversation) => {
            const at = conversation.messages.findLastIndex(({ role }) => role === 'user');
            if (at < 0) throw new UsageError('there is nothing to forget');
            conversation.messages.length = at;
            conversation.print('The last message and its answer are forgotten.\n');
        },
    },
    '/save': {
        takes: 'FILE',
        help: 'write the conversation to a file, as JSON',
        run: (conversation, path) => conversation.save(path),
    },
    '/load': {
        takes: 'FILE',
        help: 'go on with a conversation that was saved',
        run: (conversation, path) => conversation.load(path),
    },
    '/help': { help: 'this', run: (conversation) => conversation.print(HELP) },
    '/exit': { help: 'leave (so does Ctrl-D)', run: () => true },
};

const WIDTH = 12;
const HELP = `${Object.entries(COMMANDS)
    .map(([name, { takes, help }]) => `  ${(takes ? `${name} ${takes}` : name).padEnd(WIDTH)}${help}\n`)
    .join('')}  ${'Ctrl-C'.padEnd(WIDTH)}stop the answer; at the prompt, leave
  A line that ends with \\ goes on in the next one.
`;

/**
 * Prints an answer while it comes.
 * @param {Generation} answer
 * @param {(text: string) => void} print
 * @param {boolean} thoughts whether what the model thinks is printed, too
 */
export async function showAnswer(answer, print, thoughts) {
    let isThinking = false;
    for await (const { text, reasoning } of answer.chunks()) {
        if (thoughts && reasoning !== '') {
            print(isThinking ? reasoning : `[thinks: ${reasoning}`);
            isThinking = true;
        }
        if (text === '') continue;
        print(isThinking ? `]\n\n${text}` : text);
        isThinking = false;
    }
    if (isThinking) print(']');
}

export class Conversation {
    /** The answer that is being written. @type {Generation | undefined} */
    answer;
    /** Files that this conversation wrote or read, and may write over. @type {Set<string>} */
    #own = new Set();
    #model;
    #settings;
    #system;
    /** The lines of a message that is not complete. @type {string[]} */
    #lines = [];

    /**
     * @param {Pick<import('../index.d.ts').Model, 'chat'>} model
     * @param {import('../index.d.ts').ChatOptions} settings
     * @param {string | undefined} system
     * @param {(text: string) => void} print
     */
    constructor(model, settings, system, print) {
        this.#model = model;
        this.#settings = settings;
        this.#system = system;
        this.print = print;
        this.messages = this.begin();
    }

    /** What every conversation begins with. @returns {Message[]} */
    begin() {
        return this.#system === undefined ? [] : [{ role: 'system', content: this.#system }];
    }

    /** Whether the next line belongs to the message before. */
    get goesOn() {
        return this.#lines.length > 0;
    }

    /** Forgets the lines of a message that is not complete. */
    drop() {
        this.#lines = [];
    }

    /**
     * @param {string} line
     * @returns {Promise<boolean>} whether the conversation is over
     */
    async take(line) {
        if (line.endsWith('\\')) {
            this.#lines.push(line.slice(0, -1));
            return false;
        }
        const text = [...this.#lines, line].join('\n').trim(),
            isCommand = this.#lines.length === 0 && /^\/[a-z]+(\s|$)/.test(text);
        this.drop();
        if (text === '') return false;
        try {
            if (isCommand) return await this.#obey(text);
            await this.#ask(text);
        } catch (error) {
            this.print(`${oneLine(messageOf(error))}\n`);
            if (error instanceof NibbleError && error.code === 'NB_ERR_CONTEXT')
                this.print('/reset starts a new conversation; /undo forgets its last message and answer.\n');
        }
        return false;
    }

    /** @param {string} text */
    async #obey(text) {
        const [, name, rest] = /** @type {RegExpExecArray} */ (/^(\S+)\s*([\s\S]*)$/.exec(text)),
            known = name === '/quit' ? '/exit' : name,
            command = Object.hasOwn(COMMANDS, known) ? COMMANDS[known] : undefined;
        if (!command) {
            this.print(`There is no command ${name}.\n${HELP}`);
            return false;
        }
        if (Boolean(command.takes) !== (rest !== ''))
            throw new UsageError(command.takes ? `${name} needs a ${command.takes}` : `${name} takes nothing else`);
        return (await command.run(this, rest)) === true;
    }

    /** @param {string} text */
    async #ask(text) {
        const messages = [...this.messages, { role: 'user', content: text }];
        try {
            this.answer = this.#model.chat(messages, this.#settings);
            await showAnswer(this.answer, this.print, true);
            const result = await this.answer;
            // only now: the conversation goes on without what failed
            this.messages = [...messages, { role: 'assistant', content: result.text }];
            const how = result.finishReason === 'abort' ? 'stopped' : 'cut at its length';
            this.print(result.finishReason === 'stop' ? '\n' : ` [${how}]\n`);
        } finally {
            this.answer = undefined;
        }
    }

    /** @param {string} path */
    async save(path) {
        if (this.messages.length === 0) throw new UsageError('there is no conversation to save yet');
        await checkPlace(path, []);
        const place = resolve(path),
            isThere = (await stat(path).catch(() => null)) !== null;
        if (isThere && !this.#own.has(place))
            throw new UsageError(`${path} is there already: give another name, or remove it`);
        const bytes = new TextEncoder().encode(`${JSON.stringify(this.messages, null, 2)}\n`);
        await writeWhole(
            (async function* () {
                yield bytes;
            })(),
            path,
            isThere,
        );
        this.#own.add(place);
        this.print(`${this.messages.length} messages are in ${path}.\n`);
    }

    /** @param {string} path */
    async load(path) {
        const text = new TextDecoder().decode(await readInput('/load', path === '-' ? './-' : path));
        /** @type {unknown} */
        let value;
        try {
            value = JSON.parse(text);
        } catch (error) {
            throw new UsageError(`${path} is not JSON, which /save writes: ${messageOf(error)}`);
        }
        if (!Array.isArray(value)) throw new UsageError(`${path} is no list of messages, which /save writes`);
        this.messages = checkMessages(value, path);
        this.#own.add(resolve(path));
        const last = this.messages.findLast(({ content }) => typeof content === 'string');
        const shown = oneLine(String(last?.content ?? ''));
        this.print(`${this.messages.length} messages are loaded; the last one: `);
        this.print(`${shown.length > 200 ? `${shown.slice(0, 197)}...` : shown}\n`);
    }
}
