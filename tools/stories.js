/**
 * Makes the model that comes with nibble, demo/stories.gguf, and the same model in F32 for experiments:
 *
 *     NIBBLE_STORIES=stories.txt NIBBLE_BOOKS=books.txt node tools/stories.js
 *
 * Stories and books are texts that are separated by lines of <|endoftext|>. A tokenizer and all weights are trained
 * on them alone, by nibble's own commands, from one seed: the same texts give the same bytes. A run that was stopped
 * goes on from its last checkpoint. docs/stories.md says what it was made of, and has the log.
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
import { train } from '../web/index.js';
import { permutation, Random } from '../web/random.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url)),
    OUT = join(ROOT, 'build/stories'),
    END = '<|endoftext|>',
    START_OF_TURN = '<|im_start|>',
    END_OF_TURN = '<|im_end|>',
    VOCABULARY = 2048,
    LENGTH = 512, // tokens of a window: the model's whole context
    BATCH = 6,
    HELD_OUT = 64, // stories, to measure the loss
    SEED = 1;

/**
 * First the language is learned from books and stories, and then the stories alone while the learning rate falls to
 * nothing (as Hu et al. 2024, "MiniCPM", section 4: the best data last). The first stage ends while its rate is high.
 * passes: over the stories; in each, half of them are answers of a chat, chosen anew.
 */
const STAGES = [
    { name: 'first', books: 1, passes: 4, steps: 1200, until: 600, rate: 3e-3, lastRate: 1.5e-3 },
    { name: 'second', books: 0, passes: 7, steps: 1000, until: 1000, rate: 1.5e-3, lastRate: 5e-5 },
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

/** Books in pieces, which are shuffled among the stories. @param {string} text */
function piecesOf(text) {
    const paragraphs = plain(text)
        .split(/\n\s*\n/)
        .map((paragraph) => paragraph.replaceAll(/\s+/g, ' ').trim())
        .filter((paragraph) => paragraph !== '' && !/^[#-]/.test(paragraph) && /^[ -~]*$/.test(paragraph));
    const pieces = [''];
    for (const paragraph of paragraphs) {
        if (pieces[pieces.length - 1].length > 4000) pieces.push('');
        pieces[pieces.length - 1] += `${paragraph}\n`;
    }
    return pieces.map((piece) => piece.trim());
}

// Books for younger children have one of these words in their headings, which say "# Title: ...".
const YOUNG = [
    ...['Aesop', 'Alice', 'Andersen', 'Beatrix Potter', 'Book of Dragons', 'Five Children', 'Grimm', 'Heidi'],
    ...['Jungle Book', 'Little Mermaid', 'Little Princess', 'Looking-Glass', 'Oz', 'Peter Pan', 'Pinocchio'],
    ...['Princess and the Goblin', 'Railway Children', 'Santa Claus', 'Wind in the Willows'],
];

/** @param {string} book */
function isForTheYoung(book) {
    const [heading] = book.trim().split('\n', 1);
    return heading.startsWith('# Title: ') && new RegExp(`\\b(${YOUNG.join('|')})`).test(heading);
}

/** @param {string} name of an environment variable */
function textIn(name) {
    const path = process.env[name];
    if (!path) throw new Error(`${name} is not set: it names a text file. See the head of tools/stories.js.`);
    return readFileSync(path, 'utf8');
}

/** @param {string[]} args of nibble's command */
function nibble(...args) {
    const { status } = spawnSync(process.execPath, [join(ROOT, 'web/cli.js'), ...args], { stdio: 'inherit' });
    if (status !== 0) throw new Error(`nibble ${args[0]} ended with ${status}`);
}

const file = (/** @type {string} */ name) => join(OUT, name);

function writeTexts() {
    const random = new Random(SEED, 0),
        all = shuffled(storiesOf(textIn('NIBBLE_STORIES')), random),
        heldOut = all.slice(0, HELD_OUT),
        stories = all.slice(HELD_OUT),
        books = textIn('NIBBLE_BOOKS').split(END).filter(isForTheYoung),
        pieces = books.flatMap(piecesOf),
        validation = onePass(heldOut, random);
    // words of stories count more than those of books, which are old
    const words = [...stories, ...stories, ...stories, ...pieces, 'user\nassistant\n'.repeat(stories.length)];
    writeFileSync(file('words.txt'), words.join('\n'));
    writeFileSync(file('stories.txt'), stories.join('\n'));
    writeFileSync(file('held-out.txt'), heldOut.join('\n'));
    process.stdout.write(
        `${stories.length} stories (${lengthOf(stories)} characters), ${HELD_OUT} held out, ${books.length} books ` +
            `(${lengthOf(pieces)} characters)\n`,
    );
    for (const { name, passes, books: times } of STAGES) {
        const again = Array.from({ length: passes }, () => onePass(stories, random)).flat(),
            read = Array.from({ length: times }, () => pieces).flat(),
            training = shuffled([...again, ...read], random),
            share = lengthOf(validation) / (lengthOf(training) + lengthOf(validation));
        writeFileSync(file(`${name}.txt`), [...training, ...validation].join(END));
        writeFileSync(file(`${name}.share`), share.toFixed(5));
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
    writeTexts();
    writeTokenizer();
}
const [first, second] = STAGES,
    tokenizer = [file('tokenizer.json'), file('tokenizer_config.json')];
if (!existsSync(file('first.log'))) await learn(first, { config: CONFIG, tokenizer });
if (!existsSync(file('second.log'))) await learn(second, file('first.gguf'));
copyFileSync(file('second.gguf'), file('stories-f32.gguf'));
nibble('quantize', file('stories-f32.gguf'), file('stories.gguf'), '--type', 'q6_k', '--search', 'best', '--force');
