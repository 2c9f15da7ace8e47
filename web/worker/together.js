/**
 * Computes several generations together. Those that wait for their next token at the same time get it from one pass
 * through the model, which reads the weights once (nb_session_advance_all). A pass also takes pieces of prompts, so
 * that neither prompts nor the tokens of others wait long. Each row has the numbers that it would have alone, so no
 * answer depends on others.
 */
import { nb_turn } from '../abi.js';
import { NibbleError } from '../errors.js';
import { yieldToEvents } from '../platform.js';
import { writeStructs } from './structs.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('./seats.js').Seat} Seat */

/** Rows of a pass, at most (BATCH in src/models/session.c). */
const MOST_ROWS = 128;
/** Rows of prompts in a pass that has tokens of answers, too: at least; and while the time of a row is unknown. */
const LEAST_ROWS = 16;
const UNTIMED_ROWS = 32;
/** ms by which prompts may make such a pass longer. */
const PATIENCE = 100;

/**
 * What a sequence wants of a pass. tokens: the address of its prefix of n tokens. left: how many of them it does not
 * hold. held: how many it holds after the pass. logits: the address of those after the last token; 0: it does not hold
 * all tokens yet.
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
     * Advances a sequence by one pass. The logits must be used before anything else is awaited.
     * @param {Seat} seat
     * @param {number} tokens address
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
            await yieldToEvents(); // generations use what they got and ask for more; messages come in
            if (this.#waiting.length === 0) break;
            const turns = this.#choose();
            this.#waiting = this.#waiting.filter((turn) => !turns.some(([chosen]) => chosen === turn));
            await this.#pass(turns);
        }
        this.#runs = false;
    }

    /**
     * What the next pass computes: tokens of answers first, then prompts, the oldest first. Only turns with the
     * adapters of the one that has waited longest can be in it.
     * @returns {[Turn, number][]} each with its number of rows
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
            // Their sequences hold nothing now. Each is computed alone, so that only those at fault fail. If the core
            // itself is broken (the error is not a NibbleError), all fail.
            if (turns.length > 1 && error instanceof NibbleError) for (const each of turns) await this.#alone(each);
            else for (const [{ reject }] of turns) reject(error);
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
