/** The command `nibble`, from what was typed to the exit code. */
import { COMMANDS } from './commands.js';
import { ENDINGS } from './files.js';
import { parse } from './flags.js';
import { commandHelp, known, overview, version } from './help.js';
import { oneLine, write } from './terminal.js';
import { isUsage, UsageError } from './usage.js';

/** ms that a command has to end by itself after Ctrl-C. */
const GRACE = 300;

/**
 * @param {string[]} argv
 * @returns {Promise<number>} the exit code
 */
export async function main(argv) {
    const interrupt = new AbortController(),
        saves = Object.hasOwn(COMMANDS, argv[0] ?? '') && COMMANDS[argv[0]].saves;
    let ended = 130;
    process.once('SIGINT', () => {
        // the second one ends the process, as ever
        interrupt.abort();
        // the engine cannot leave all work in the middle
        if (!saves) setTimeout(() => process.exit(ended), GRACE).unref();
    });
    for (const [name, number] of saves ? Object.entries(ENDINGS) : []) {
        const end = () => {
            ended = 128 + number;
            interrupt.abort();
        };
        // SIGHUP means a closed terminal, and may come twice, from the system and from the shell
        if (name === 'SIGHUP') process.on(name, end);
        else process.once(name, end);
    }
    process.stdout.on('error', (error) => {
        // "nibble ... | head" is no failure; a full disk is
        if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EPIPE') process.exit(0);
        write(`nibble: cannot write the output: ${oneLine(error.message)}\n`, process.stderr);
        process.exit(1);
    });
    process.stderr.on('error', () => {}); // there is nowhere to report it
    try {
        const [name, ...rest] = argv;
        if (name === undefined)
            throw new UsageError(`a command is missing; it is one of ${Object.keys(COMMANDS).join(', ')}`);
        if (name === '--help' || name === '-h' || name === 'help') {
            write(rest[0] === undefined ? overview() : commandHelp(known(rest[0])));
        } else if (name === '--version' || name === '-v') {
            write(`${version()}\n`);
        } else {
            known(name);
            const args = parse(name, rest);
            const code = args ? await COMMANDS[name].run(args, interrupt.signal) : write(commandHelp(name));
            if (code !== undefined) return code;
        }
        return interrupt.signal.aborted ? ended : 0;
    } catch (error) {
        const isEnd = interrupt.signal.aborted,
            line = error instanceof Error ? error.message : String(error);
        // commands that save say what could not be saved; others have nothing to lose
        if (isEnd && (!saves || error === interrupt.signal.reason)) return ended;
        // the name of the API's function, such as load(), means nothing here
        write(`nibble: ${oneLine(line.replace(/^\w+\(\): /, '').replace(/\s*\n\s*/g, ' '))}\n`, process.stderr);
        if (isEnd) return ended;
        if (!isUsage(error)) return 1;
        const [name] = argv;
        write(`Try: nibble ${Object.hasOwn(COMMANDS, name ?? '') ? `${name} ` : ''}--help\n`, process.stderr);
        return 2;
    }
}
