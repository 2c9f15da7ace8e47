/**
 * Trains a tokenizer on texts, in a core of its own (src/nibble_train.h), and writes it as a tokenizer.json.
 */
import { NB_SPLIT_GPT2, NB_SPLIT_LLAMA3, nb_bpe_facts } from '../abi.js';
import { ReportClock } from '../report-clock.js';
import { openOne, openPort } from '../sources/open.js';
import { startBuild } from './core.js';
import { Slice } from './pace.js';

/** @typedef {import('../protocol.js').TokenizerAsk['options']} Options */
/** @typedef {import('../index.d.ts').TokenizerProgress} TokenizerProgress */

/** Bytes of the text that one call passes to the core. */
const PIECE = 1 << 18;

/** Merges per call. */
const MERGES = 16;

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };

/** How words are cut: the core's number of the pattern, and what a tokenizer.json says of it. */
const PATTERNS = {
    'gpt-2': { number: NB_SPLIT_GPT2, preTokenizer: { ...BYTE_LEVEL, use_regex: true } },
    'llama-3': {
        number: NB_SPLIT_LLAMA3,
        preTokenizer: {
            type: 'Sequence',
            pretokenizers: [
                {
                    type: 'Split',
                    pattern: {
                        Regex:
                            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
                            ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
                    },
                    behavior: 'Isolated',
                    invert: false,
                },
                { ...BYTE_LEVEL, use_regex: false },
            ],
        },
    },
};

/**
 * @param {import('../protocol.js').TokenizerAsk} ask
 * @param {{ nextFromPort: () => Promise<Uint8Array | null>, progress: (progress: TokenizerProgress) => void }} port
 * @returns {Promise<import('../index.d.ts').TrainedTokenizer>}
 */
export async function trainTokenizer({ source, options }, { nextFromPort, progress }) {
    const core = await startBuild('train', options.assets.wasm),
        trainer = core.object('nb_bpe_trainer_new', PATTERNS[options.pattern].number, options.lines ? 1 : 0);
    for (const name of options.special ?? [])
        core.borrowText(name, (at, length) => core.count('nb_bpe_trainer_add_special', trainer, at, length));
    await readTexts(core, trainer, source, nextFromPort, progress);
    core.count('nb_bpe_trainer_begin', trainer, options.vocabulary, options.minFrequency);
    await merge(core, trainer, options.vocabulary, progress);
    return describe(core, trainer, options);
}

/**
 * @param {import('./core.js').Core} core
 * @param {number} trainer
 * @param {import('../sources/open.js').Source} source
 * @param {() => Promise<Uint8Array | null>} nextFromPort
 * @param {(progress: TokenizerProgress) => void} progress
 */
async function readTexts(core, trainer, source, nextFromPort, progress) {
    const clock = new ReportClock(),
        place = core.allocate(PIECE, 'a piece of text'),
        singles = source.kind === 'files' ? source.files.map((file) => file.source) : [source],
        opened = [];
    for (const single of singles)
        opened.push(
            single.kind === 'port' ? openPort(single.total, nextFromPort) : await openOne(/** @type {any} */ (single)),
        );
    const known = opened.every(({ total }) => total > 0),
        total = known ? opened.reduce((sum, one) => sum + one.total, 0) : 0;
    let done = 0;
    const report = (/** @type {boolean} */ always) => {
        if (clock.isDue(always))
            progress({ doing: 'reading', done, total, secondsLeft: total ? clock.left(done / total) : null });
    };
    for (const one of opened) {
        await one.into({
            room: () => core.bytes(place, PIECE),
            commit(n) {
                core.count('nb_bpe_trainer_add', trainer, place, n);
                done += n;
                report(false);
            },
        });
        core.count('nb_bpe_trainer_end_text', trainer);
    }
    report(true);
    core.exports.nb_free(place);
}

/**
 * @param {import('./core.js').Core} core
 * @param {number} trainer
 * @param {number} vocabulary
 * @param {(progress: TokenizerProgress) => void} progress
 */
async function merge(core, trainer, vocabulary, progress) {
    const clock = new ReportClock(),
        slice = new Slice(),
        first = core.exports.nb_bpe_trainer_tokens(trainer),
        total = vocabulary - first;
    for (let n = MERGES; n === MERGES; ) {
        n = core.count('nb_bpe_trainer_merge', trainer, MERGES);
        const done = core.exports.nb_bpe_trainer_tokens(trainer) - first;
        // later merges change fewer words and take less time, so this is the most that is left
        if (clock.isDue(n < MERGES))
            progress({ doing: 'merging', done, total, secondsLeft: clock.left(total ? done / total : 1) });
        if (slice.over()) await slice.yieldToEvents();
    }
}

/**
 * @param {import('./core.js').Core} core
 * @param {number} trainer
 * @param {Options} options
 * @returns {import('../index.d.ts').TrainedTokenizer}
 */
function describe(core, trainer, options) {
    const names = namesOf(core, trainer),
        pairs = core.ints(
            core.exports.nb_bpe_trainer_pairs(trainer) >>> 0,
            2 * core.exports.nb_bpe_trainer_merges(trainer),
        ),
        merges = Array.from({ length: pairs.length / 2 }, (_, i) => [names[pairs[2 * i]], names[pairs[2 * i + 1]]]);
    return {
        json: tokenizerJson(names, merges, options),
        tokens: names.length,
        merges: merges.length,
        ...factsOf(core, trainer),
    };
}

/** @param {import('./core.js').Core} core @param {number} trainer */
function namesOf(core, trainer) {
    const { exports } = core,
        sizes = Array.from({ length: exports.nb_bpe_trainer_tokens(trainer) }, (_, i) =>
            exports.nb_bpe_trainer_token(trainer, i, 0, 0),
        ),
        room = sizes.reduce((most, size) => Math.max(most, size), 1);
    return core.borrow(room, (at) =>
        sizes.map((size, i) => {
            exports.nb_bpe_trainer_token(trainer, i, at, room);
            return core.string(at, size);
        }),
    );
}

/** @param {import('./core.js').Core} core @param {number} trainer */
function factsOf(core, trainer) {
    const { size, fields } = nb_bpe_facts;
    return core.borrow(size, (at) => {
        core.exports.nb_bpe_trainer_facts(trainer, at);
        const number = (/** @type {keyof typeof fields} */ name) =>
            new DataView(core.memory.buffer).getFloat64(at + fields[name].at, true);
        return {
            bytes: number('bytes'),
            words: number('words'),
            differentWords: number('distinct'),
            brokenBytes: number('broken'),
        };
    });
}

/**
 * The file as Hugging Face's tokenizers library writes it, byte for byte.
 * @param {string[]} names by token
 * @param {string[][]} merges
 * @param {Options} options
 */
function tokenizerJson(names, merges, { special, pattern }) {
    const added = [...new Set(special ?? [])].map((content) => ({
        id: names.indexOf(content),
        content,
        ...{ single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    }));
    const outline = JSON.stringify(
        {
            ...{ version: '1.0', truncation: null, padding: null, added_tokens: added, normalizer: null },
            pre_tokenizer: PATTERNS[pattern].preTokenizer,
            post_processor: null,
            decoder: { ...BYTE_LEVEL, add_prefix_space: true, use_regex: true },
            model: {
                ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null },
                ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false },
                ...{ vocab: null, merges },
            },
        },
        null,
        2,
    );
    // JSON.stringify() of an object would put names such as "10" first
    const vocabulary = names.map((name, i) => `      ${JSON.stringify(name)}: ${i}`).join(',\n');
    return outline.replace('"vocab": null', () => `"vocab": {\n${vocabulary}\n    }`);
}
