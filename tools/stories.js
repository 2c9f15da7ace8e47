/**
 * Makes the model that comes with nibble, demo/stories.gguf, and the same model in F32 for experiments:
 *
 *     NIBBLE_STORIES=stories.txt NIBBLE_TELLER=stories260K-f32.gguf node tools/stories.js
 *
 * Stories are separated by lines of <|endoftext|>. There are too few of them to learn the language from, so the teller,
 * a smaller model that has read a thousand times as many, tells more: it goes on from their first sentences. The
 * tokenizer is trained on the stories, and all weights on both, by nibble's own commands, from one seed: the same stories
 * and the same teller give the same bytes. A run that was stopped goes on from its last checkpoint. docs/stories.md says
 * what it was made of, and has the log.
 *
 * Everything is written to build/stories: the texts, tokenizer.json, the log of the loss, stories-f32.gguf and
 * stories.gguf. Whoever finds that it turned out well copies it to demo/stories.gguf.
 */
import { spawnSync } from 'node:child_process';
import {
    copyFileSync,
    createWriteStream,
    existsSync,
    mkdirSync,
    readFileSync,
    renameSync,
    writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { tokenizerConfig } from '../web/cli/trained-tokenizer.js';
import { load, train } from '../web/index.js';
import { permutation, Random } from '../web/random.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url)),
    OUT = join(ROOT, 'build/stories'),
    END = '<|endoftext|>',
    START_OF_TURN = '<|im_start|>',
    END_OF_TURN = '<|im_end|>',
    VOCABULARY = 2048,
    LENGTH = 512, // tokens of a window: the model's whole context
    BATCH = 6,
    BEGIN_OF_TEXT = 1, // of the teller
    HELD_OUT = 64, // stories, to measure the loss
    SEED = 1;

/** How the teller tells. What it does not end within its context is left out. */
const TOLD = 10_000, // stories
    TELLING = { temperature: 0.7, maxTokens: LENGTH };

/**
 * First the language is learned from the stories that the teller told, too, and then more and more from the stories
 * themselves, while the learning rate falls to nothing (as Hu et al. 2024, "MiniCPM", section 4: the best data last).
 * The first stage ends while its rate is high.
 * passes: over the stories; in each, half of them are answers of a chat, chosen anew.
 * told: the share of the stories of the teller, from where to where.
 */
const STAGES = [
    { name: 'first', told: [0, 0.7], passes: 3, steps: 2000, until: 1300, rate: 3e-3, lastRate: 1e-3 },
    { name: 'second', told: [0.7, 1], passes: 5, steps: 800, until: 800, rate: 1.5e-3, lastRate: 5e-5 },
];

const CONFIG = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: 256, // a multiple of 256, so that the rows are whole blocks of all types
    intermediate_size: 512,
    num_hidden_layers: 4,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    max_position_embeddings: LENGTH,
    rms_norm_eps: 1e-5,
    rope_parameters: { rope_type: 'default', rope_theta: 10000 },
    tie_word_embeddings: true,
};

const CHAT_TEMPLATE =
    `{% for message in messages %}{{ '${START_OF_TURN}' + message['role'] + '\n' + message['content'] ` +
    `+ '${END_OF_TURN}' + '\n' }}{% endfor %}` +
    `{% if add_generation_prompt %}{{ '${START_OF_TURN}assistant\n' }}{% endif %}`;

// What a request may ask for, if it is in the story. If somebody in the story has a name, about half of the requests
// ask for the name instead.
const TOPICS = `
    dog cat bird rabbit bear fish frog duck mouse lion horse monkey tree flower garden park forest beach ball car truck
    train boat doll toy bike kite cake apple cookie soup hat dress box book star moon sun rain snow storm mom dad
    grandma friend farmer princess king dragon monster robot castle house shop lake river`
    .trim()
    .split(/\s+/);
const REQUESTS = [
    'Tell me a story about #.',
    'Write a story about #.',
    'Can you tell me a story about #?',
    'A story about #, please.',
    'I want a story about #.',
];
const OPEN_REQUESTS = ['Hello!', 'Hi!', 'Tell me a story.', 'Tell me a short story, please.', 'What can you do?'];

/** @template T @param {readonly T[]} list @param {Random} random */
const pick = (list, random) => list[random.below(list.length)];

/** @template T @param {readonly T[]} list @param {Random} random */
const shuffled = (list, random) => Array.from(permutation(list.length, random), (i) => list[i]);

/** Plain quotes and dashes; also where UTF-8 was once read as Windows-1252. @param {string} text */
const plain = (text) =>
    text
        .replaceAll(/â€™|[‘’]/g, "'")
        .replaceAll(/â€[œ\u009d]?|[“”]/g, '"')
        .replaceAll(/[—–]/g, '-')
        .replaceAll('…', '...');

/** @param {string} text */
function storiesOf(text) {
    // in one long piece the stories follow each other with no line between
    const begin = /(?<!\n)\n(?=Once upon a time|One day, an? |Once there was|There was once|There once was)/;
    return text
        .split(END)
        .flatMap((piece) => (piece.length > 10_000 ? piece.split(begin) : [piece]))
        .map((story) => plain(story.trim()).replaceAll(/\s*\n\s*/g, '\n'))
        .filter((story) => story.length > 200 && /^[\n -~]*$/.test(story) && /[.!?"]$/.test(story));
}

/** A request that this story answers. @param {string} story @param {Random} random */
function requestFor(story, random) {
    if (random.below(100) < 15) return pick(OPEN_REQUESTS, random);
    const name = /\bnamed ([A-Z][a-z]+)/.exec(story)?.[1],
        topics = TOPICS.filter((topic) => new RegExp(`\\b${topic}\\b`).test(story)),
        topic = topics.length > 0 ? pick(topics, random) : 'good day',
        a = /^[aeiou]/.test(topic) ? 'an' : 'a',
        named = name !== undefined && (topics.length === 0 || random.below(2) === 0);
    return pick(REQUESTS, random).replace('#', named ? name : `${a} ${topic}`);
}

/** @param {string} role @param {string} content */
const turn = (role, content) => `${START_OF_TURN}${role}\n${content}${END_OF_TURN}\n`;

/** @param {string} story @param {Random} random */
const asChat = (story, random) => turn('user', requestFor(story, random)) + turn('assistant', story);

/** @param {readonly string[]} stories @param {Random} random */
const onePass = (stories, random) =>
    shuffled(stories, random).map((story) => (random.below(2) === 0 ? story : asChat(story, random)));

/** @param {string} name of an environment variable */
function pathIn(name) {
    const path = process.env[name];
    if (!path) throw new Error(`${name} is not set: it names a file. See the head of tools/stories.js.`);
    return path;
}

/** @param {string[]} args of nibble's command */
function nibble(...args) {
    const { status } = spawnSync(process.execPath, [join(ROOT, 'web/cli.js'), ...args], { stdio: 'inherit' });
    if (status !== 0) throw new Error(`nibble ${args[0]} ended with ${status}`);
}

const file = (/** @type {string} */ name) => join(OUT, name);

async function writeTexts() {
    const random = new Random(SEED, 0),
        all = shuffled(storiesOf(readFileSync(pathIn('NIBBLE_STORIES'), 'utf8')), random),
        heldOut = all.slice(0, HELD_OUT),
        stories = all.slice(HELD_OUT),
        validation = onePass(heldOut, random),
        told = await tell(stories);
    writeFileSync(file('words.txt'), [...stories, 'user\nassistant\n'.repeat(stories.length)].join('\n'));
    writeFileSync(file('stories.txt'), stories.join('\n'));
    writeFileSync(file('told.txt'), told.join('\n'));
    writeFileSync(file('held-out.txt'), heldOut.join('\n'));
    process.stdout.write(
        `${stories.length} stories (${lengthOf(stories)} characters), ${HELD_OUT} held out, ${told.length} were told ` +
            `(${lengthOf(told)} characters)\n`,
    );
    for (const { name, passes, told: share } of STAGES) {
        const again = Array.from({ length: passes }, () => onePass(stories, random)).flat(),
            [from, to] = share.map((part) => Math.round(part * told.length)),
            training = shuffled([...again, ...onePass(told.slice(from, to), random)], random),
            held = lengthOf(validation) / (lengthOf(training) + lengthOf(validation));
        writeFileSync(file(`${name}.txt`), [...training, ...validation].join(END));
        writeFileSync(file(`${name}.share`), held.toFixed(5));
    }
}

/** The first sentence of a story, or the first two. @param {string} story @param {number} sentences */
const beginningOf = (story, sentences) =>
    story
        .split('\n', 1)[0]
        .split(/(?<=[.!?]) /)
        .slice(0, sentences)
        .join(' ');

/**
 * The teller goes on from the beginnings of stories, each time with another seed, so that its stories differ more.
 * @param {readonly string[]} stories
 */
async function tell(stories) {
    const told = /** @type {(string | undefined)[]} */ (Array.from({ length: TOLD }));
    let next = 0;
    // two models, of one thread each, are faster than one of two: the teller is small
    const tellers = await Promise.all([1, 2].map(() => load(pathIn('NIBBLE_TELLER'), { threads: 1 })));
    const work = async (/** @type {import('../web/index.js').Model} */ teller) => {
        while (next < TOLD) {
            const i = next++,
                // every fifth begins freely
                beginning = i % 5 === 0 ? 'Once upon a time' : beginningOf(stories[i % stories.length], 1 + (i % 2));
            told[i] = await storyFrom(teller, beginning, i);
            if (i % 100 === 0) process.stderr.write(`\rtold ${i} of ${TOLD}  `);
        }
        await teller.dispose();
    };
    await Promise.all(tellers.map(work));
    return storiesOf(told.filter((story) => story !== undefined).join(END));
}

/**
 * A whole story, or nothing where the context was full before its end.
 * @param {import('../web/index.js').Model} teller @param {string} beginning @param {number} seed
 */
async function storyFrom(teller, beginning, seed) {
    const telling = teller.complete(beginning, { ...TELLING, seed });
    for await (const _ of telling) {
        // llama2.c begins each text with this token, and so ends the one before
        const end = telling.tokens.indexOf(BEGIN_OF_TEXT);
        if (end >= 0) return beginning + (await teller.detokenize(telling.tokens.slice(0, end)));
    }
}

const lengthOf = (/** @type {string[]} */ texts) => texts.reduce((sum, text) => sum + text.length, 0);

/** The special tokens, the rules of chats, and what ends a text. */
function writeTokenizer() {
    const special = [START_OF_TURN, END_OF_TURN].flatMap((token) => ['--special', token]);
    nibble(
        ...['tokenizer', '--data', file('words.txt'), '--vocabulary', String(VOCABULARY), '--end', END],
        ...[...special, '--output', file('tokenizer.json'), '--force'],
    );
    const config = { ...JSON.parse(tokenizerConfig(END)), chat_template: CHAT_TEMPLATE };
    writeFileSync(file('tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
}

/**
 * Trains a stage, or goes on from its checkpoint, and writes its model and its log.
 * @param {typeof STAGES[number]} stage
 * @param {string | import('../web/index.d.ts').NewModel} source
 */
async function learn({ name, steps, until, rate, lastRate }, source) {
    const place = file(`${name}.checkpoint`),
        training = await train(source, {
            ...{ data: readFileSync(file(`${name}.txt`), 'utf8'), special: true, seed: SEED },
            ...{ steps, batch: BATCH, length: LENGTH, rate, lastRate },
            validation: Number(readFileSync(file(`${name}.share`), 'utf8')),
            checkpoint: existsSync(place) ? readFileSync(place) : undefined,
        }),
        done = [...training.info.history];
    while (training.step < until) {
        const { value: now } = await training[Symbol.asyncIterator]().next();
        done.push(now);
        process.stderr.write(`\r${name} ${now.step} of ${until}, loss ${now.loss.toFixed(4)}  `);
        if (now.step % 50 !== 0 && now.step !== until) continue;
        writeFileSync(`${place}.part`, await training.checkpoint());
        renameSync(`${place}.part`, place);
    }
    await training.model().pipeTo(Writable.toWeb(createWriteStream(file(`${name}.gguf`))));
    await training.dispose();
    writeFileSync(file(`${name}.log`), logOf(done));
}

/**
 * Steps, the mean loss of the last 100, and the loss of the held-out stories.
 * @param {readonly Pick<import('../web/index.d.ts').TrainStep, 'step' | 'loss' | 'validationLoss'>[]} steps
 */
function logOf(steps) {
    const lines = steps.flatMap(({ step, validationLoss }, i) => {
        if (validationLoss === undefined) return [];
        const recent = steps.slice(Math.max(0, i - 99), i + 1),
            mean = recent.reduce((sum, { loss }) => sum + loss, 0) / recent.length;
        return `${String(step).padStart(5)} ${mean.toFixed(4)} ${validationLoss.toFixed(4)}`;
    });
    return `${lines.join('\n')}\n`;
}

mkdirSync(OUT, { recursive: true });
if (!existsSync(file('tokenizer_config.json'))) {
    await writeTexts();
    writeTokenizer();
}
const [first, second] = STAGES,
    tokenizer = [file('tokenizer.json'), file('tokenizer_config.json')];
if (!existsSync(file('first.log'))) await learn(first, { config: CONFIG, tokenizer });
if (!existsSync(file('second.log'))) await learn(second, file('first.gguf'));
copyFileSync(file('second.gguf'), file('stories-f32.gguf'));
nibble('quantize', file('stories-f32.gguf'), file('stories.gguf'), '--type', 'q6_k', '--search', 'best', '--force');
