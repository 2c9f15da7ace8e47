/**
 * Computes several generations together: those that wait for their next token at the same time get it from one pass
 * through the model, which reads the weights once (nb_session_advance_all). Prompts are fed in pieces between the others'
 * tokens, so that nobody waits long. Each row has the numbers that it would have alone, so no answer depends on others.
 */
import { nb_turn } from '../abi.js';
import { NibbleError } from '../errors.js';
import { yieldToEvents } from '../platform.js';
import { writeStructs } from './structs.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('./seats.js').Seat} Seat */

/** Rows of a pass, if nobody waits for a token (BATCH in src/models/session.c). */
const MOST_ROWS = 128;
/** Rows of prompts in a pass with others' tokens: at least, and while the time of a row is unknown. */
const LEAST_ROWS = 16;
const UNTIMED_ROWS = 32;
/** ms that a pass may take longer for the prompts in it. */
const PATIENCE = 100;

/**
 * tokens: where the sequence's prefix of n tokens is. left: how many of them it does not hold. logits: where the logits
 * after the last one are; 0: it does not hold all of them yet.
 * @typedef {{ seat: Seat, tokens: number, n: number, left: number,
 *     resolve: (step: { held: number, logits: number }) => void, reject: (error: unknown) => void }} Turn
 */

export class Together {
    #engine;
    /** @type {Turn[]} */
    #waiting = [];
    #runs = false;
    /** ms that a row of a prompt takes; 0: unknown. */
    #each = 0;
    /** How many generations are under way. */
    active = 0;
    /** How many rows the last pass had. */
    rows = 0;

    /** @param {Engine} engine */
    constructor(engine) {
        this.#engine = engine;
    }

    /** Whether there are several generations; one alone need not wait for others. */
    get isOn() {
        return this.active > 1;
    }

    /**
     * Advances a sequence by one pass. The logits must be used before anything else is waited for.
     * @param {Seat} seat
     * @param {number} tokens
     * @param {number} n
     * @returns {Promise<{ held: number, logits: number }>}
     */
    step(seat, tokens, n) {
        const { core, session, seats } = this.#engine;
        seats.select(seat);
        const left = n - Math.min(core.exports.nb_session_holds(session, tokens, n), n - 1);
        return new Promise((resolve, reject) => {
            this.#waiting.push({ seat, tokens, n, left, resolve, reject });
            if (!this.#runs) void this.#run();
        });
    }

    async #run() {
        this.#runs = true;
        for (;;) {
            await yieldToEvents(); // those that got something ask for more, and messages come in
            if (this.#waiting.length === 0) break;
            const turns = this.#choose();
            this.#waiting = this.#waiting.filter((turn) => !turns.some(([chosen]) => chosen === turn));
            await this.#pass(turns);
        }
        this.#runs = false;
    }

    /**
     * What the next pass computes: tokens first, then prompts, of which the oldest comes first. All have the adapters of
     * the one that has waited for the longest time.
     * @returns {[Turn, number][]} with how many rows
     */
    #choose() {
        const { key } = this.#waiting[0].seat.adapters,
            same = this.#waiting.filter(({ seat }) => seat.adapters.key === key),
            tokens = same.filter(({ left }) => left === 1),
            prompts = same.filter(({ left }) => left > 1);
        const timed = this.#each > 0 ? Math.max(LEAST_ROWS, Math.floor(PATIENCE / this.#each)) : UNTIMED_ROWS;
        let room = Math.min(MOST_ROWS - tokens.length, tokens.length > 0 ? timed : MOST_ROWS);
        /** @type {[Turn, number][]} */
        const turns = tokens.map((turn) => [turn, 1]);
        for (const turn of prompts) {
            const rows = Math.min(turn.left, room);
            if (rows <= 0) break;
            turns.push([turn, rows]);
            room -= rows;
        }
        return turns;
    }

    /** @param {[Turn, number][]} turns */
    async #pass(turns) {
        const rows = turns.reduce((sum, [, most]) => sum + most, 0),
            began = performance.now();
        try {
            for (const [i, step] of this.#advance(turns).entries()) turns[i][0].resolve(step);
        } catch (error) {
            if (turns.length > 1 && error instanceof NibbleError) for (const each of turns) await this.#alone(each);
            else for (const [{ reject }] of turns) reject(error); // or the core is broken
            return;
        }
        const each = (performance.now() - began) / rows;
        if (rows >= LEAST_ROWS) this.#each = this.#each > 0 ? (3 * this.#each + each) / 4 : each;
        this.rows = rows;
    }

    /**
     * Computes anew what was in a pass that failed: whose fault that was shows when each is computed by itself. After
     * such a pass a sequence holds nothing, so this begins with its first token.
     * @param {[Turn, number]} turn
     */
    async #alone([turn, rows]) {
        try {
            for (; ; await yieldToEvents()) {
                const [step] = this.#advance([[turn, MOST_ROWS]]);
                if (step.held >= turn.n - turn.left + rows) return turn.resolve(step);
            }
        } catch (error) {
            turn.reject(error);
        } finally {
            await yieldToEvents(); // the logits are used before those of the next one take their place
        }
    }

    /**
     * @param {[Turn, number][]} turns
     * @returns {{ held: number, logits: number }[]} what step() gives each of them
     */
    #advance(turns) {
        const { core, session, model, seats } = this.#engine,
            n = turns.length,
            vocabulary = core.exports.nb_model_vocabulary(model);
        seats.current = turns[0][0].seat; // the core selects it
        const steps = core.borrow(n * (nb_turn.size + 4), (at) => {
            const structs = turns.map(([turn, most]) => ({
                    sequence: turn.seat.index,
                    n: turn.n,
                    most,
                    held: 0,
                    row: 0,
                })),
                prefixes = writeStructs(core.memory, at, nb_turn, structs);
            core.ints(prefixes, n).set(turns.map(([{ tokens }]) => tokens));
            core.count('nb_session_advance_all', session, at, prefixes, n);
            const words = core.ints(at, (n * nb_turn.size) / 4),
                word = (/** @type {number} */ i, /** @type {'held' | 'row'} */ name) =>
                    words[(i * nb_turn.size + nb_turn.fields[name].at) / 4];
            return turns.map((_, i) => ({ held: word(i, 'held'), row: word(i, 'row') }));
        });
        const { logits } = this.#engine.logits(session);
        return steps.map(({ held, row }) => ({ held, logits: row < 0 ? 0 : logits + 4 * row * vocabulary }));
    }
}
