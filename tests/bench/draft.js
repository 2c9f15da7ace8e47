// What a draft model costs, and how often it is right, so that one can tell whether it may pay. The unit is a single
// row: the time that the model takes for one token. It is CPU time of one thread, and the least of several counts, so
// that a busy machine matters little; the first rounds warm up.
//     node tests/bench/draft.js MODEL DRAFT [ROUNDS] [TOKENS]
import { NB_LOGITS_ALL, NB_LOGITS_LAST } from '../../web/abi.js';
import { DraftRecord, FEW } from '../../web/worker/draft-record.js';
import { openModel } from '../support/chat-engine.js';

const [main, draft, rounds = '40', tokens = '64'] = process.argv.slice(2),
    ROWS = 8;

/** The texts that are continued: two which ask for what they have, and three which do not. */
const PROMPTS = [
    'Numbers: one, two, three, four, five, six. The same once more: one, two,',
    'function sum(list) {\n    let total = 0;\n    for (const item of list) total += item;\n    return total;\n}\n\n' +
        'function product(list) {\n    let total = 1;\n',
    'Once upon a time, in a village by the sea,',
    'Question: Why is the sky blue?\nAnswer:',
    'The three most important inventions of the last century are',
];

/** A record by which the draft makes one guess after another, and each is checked. */
class Eager extends DraftRecord {
    /** @param {number} unread */
    plan(unread) {
        return { gain: 100, reads: unread > FEW, tries: true };
    }

    judge() {
        return { goesOn: () => false, checked: () => 1 };
    }
}

const { model, engine } = await openModel(
    { kind: 'path', path: main },
    { contextLength: 2048 },
    /** @type {any} */ ({
        kind: 'path',
        path: draft,
    }),
);
if (!engine.draft) throw new Error('there is no draft');
const { core } = engine,
    second = engine.draft.engine,
    most = 2 * ROWS + 32,
    prefix = core.allocate(4 * most, 'tokens');
core.ints(prefix, most).set(Array.from({ length: most }, (_, i) => 100 + ((i * 37) % 2000)));

/**
 * CPU time, in ms, until a session holds n tokens.
 * @param {import('../../web/worker/engine.js').Engine} engine
 * @param {number} n
 */
function timeTo({ session }, n, flags = NB_LOGITS_LAST) {
    const began = process.cpuUsage();
    for (let held = 0; held < n; ) held = core.count('nb_session_advance', session, prefix, n, flags);
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 1000;
}

const least = { single: Infinity, batch: Infinity, guess: Infinity, read: Infinity };
/** @param {keyof typeof least} name @param {number} ms */
const note = (name, ms) => {
    least[name] = Math.min(least[name], ms);
};
for (let round = 0; round < Number(rounds); round++) {
    let n = 0;
    core.ints(prefix, 1)[0] = 100 + round; // another text
    note('read', timeTo(second, n + 32) / 32);
    timeTo(engine, (n += 32));
    for (let i = 0; i < ROWS; i++) {
        note('single', timeTo(engine, n + 1));
        note('guess', timeTo(second, ++n));
    }
    note('batch', timeTo(engine, (n += ROWS), NB_LOGITS_ALL));
    timeTo(second, n);
}
const share = (/** @type {number} */ ms) => (ms / least.single).toFixed(2);
console.log(
    `a token of ${engine.description.name}: ${least.single.toFixed(1)} ms; one more row of a batch of ${ROWS}: ` +
        `${share((least.batch - least.single) / (ROWS - 1))}, a guess: ${share(least.guess)}, a token read: ` +
        share(least.read),
);
engine.draft.record = new Eager(1);
let right = 0,
    guessed = 0;
for (const prompt of PROMPTS) {
    const { drafted } = await model.complete(prompt, { maxTokens: Number(tokens), ignoreEnd: true });
    right += drafted?.right ?? 0;
    guessed += drafted?.guessed ?? 0;
}
console.log(`${right} of ${guessed} guesses were right: ${((100 * right) / Math.max(guessed, 1)).toFixed(0)} %`);
engine.close();
