/**
 * quantize() with `simulate`: rounds matrices to a grid while they pass. They stay floating-point numbers
 * (nb_simulate_rows).
 */
import {
    NB_RANGE_DIVERGENCE,
    NB_RANGE_MIN_MAX,
    NB_RANGE_PERCENTILE,
    NB_RANGE_SQUARED_ERROR,
    NB_SIMULATE_CODEBOOK,
    NB_SIMULATE_LOG,
    NB_SIMULATE_UNIFORM,
    nb_simulation,
    TYPES,
} from '../abi.js';
import { give } from '../sources/open.js';
import { startPooledCore } from './pool.js';
import { withName } from './quantize-core.js';
import { writeStructs } from './structs.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('../sources/open.js').Sink} Sink */
/** @typedef {import('../simulated.js').CheckedSimulation} CheckedSimulation */

/** Weights that are rounded in one call, unless a whole matrix must be. */
const WEIGHTS_AT_ONCE = 1 << 18;
/** Bytes that are not rounded, and pass together. */
const PASSED = 1 << 16;

const GRIDS = { uniform: NB_SIMULATE_UNIFORM, log: NB_SIMULATE_LOG, codebook: NB_SIMULATE_CODEBOOK };
const RANGES = {
    minmax: NB_RANGE_MIN_MAX,
    percentile: NB_RANGE_PERCENTILE,
    mse: NB_RANGE_SQUARED_ERROR,
    entropy: NB_RANGE_DIVERGENCE,
};

/** A tensor that passes: where it begins, and rows of it that wait until they are enough. @typedef {{ tensor: Planned,
 *     at: number, end: number, rowBytes: number, row: number }} Place */

export class Simulation {
    /** Weights outside the ranges that were chosen. */
    clipped = 0;

    /**
     * @param {import('./core.js').Core} core
     * @param {number} pool
     * @param {() => void} end
     * @param {CheckedSimulation} how
     * @param {Planned[]} tensors all of the type F32, or F16
     */
    constructor(core, pool, end, how, tensors) {
        this.core = core;
        this.pool = pool;
        this.end = end;
        this.how = how;
        this.tensors = tensors;
        const { group, symmetric, percentile, seed } = how;
        this.struct = {
            grid: GRIDS[how.grid],
            bits: how.bits,
            group,
            whole: how.perTensor ? 1 : 0,
            symmetric: symmetric ? 1 : 0,
            ranges: RANGES[how.ranges],
            stochastic: how.rounding === 'stochastic' ? 1 : 0,
            seed,
            percentile,
        };
    }

    /**
     * @param {import('../assets.js').Assets} assets
     * @param {number} threads
     * @param {(port: MessagePort) => void} watch
     * @param {CheckedSimulation} how
     * @param {Planned[]} tensors
     */
    static async start(assets, threads, watch, how, tensors) {
        const { core, pool, end } = await startPooledCore('quantize', assets, threads, watch);
        return new Simulation(core, pool, end, how, tensors);
    }

    /**
     * Calls run() with the addresses of the grid and of a number of eight bytes, which is 0.
     * @template T
     * @param {(how: number, number: number) => T} run
     */
    #withGrid(run) {
        const { core } = this;
        return core.borrow(nb_simulation.size + 8, (at) => {
            const number = writeStructs(core.memory, at, nb_simulation, [this.struct]);
            core.bytes(number, 8).fill(0);
            return run(at, number);
        });
    }

    /** @param {number} at */
    #double(at) {
        return new DataView(this.core.memory.buffer).getFloat64(at, true);
    }

    /** What the GGUF says of the grid. @returns {import('../index.d.ts').Simulated} */
    facts() {
        const { core, how, tensors } = this;
        let weights = 0,
            bits = 0;
        for (const { name, rows, columns, matrices } of tensors) {
            weights += rows * columns * matrices;
            try {
                bits += this.#withGrid((grid, number) => {
                    core.count('nb_simulate_bits', grid, rows, columns, number);
                    return matrices * this.#double(number);
                });
            } catch (error) {
                throw withName(error, name);
            }
        }
        const type = tensors[0]?.type === 'f16' ? 'f16' : 'f32';
        return { ...how, type, weights, bytes: Math.ceil(bits / 8) };
    }

    /**
     * Rounds some rows, which begin with that number.
     * @param {Planned} tensor
     * @param {number} first
     * @param {Uint8Array} rows
     */
    #round({ name, i, type, columns }, first, rows) {
        const { core, pool } = this,
            n = rows.length / columns / (type === 'f32' ? 4 : 2);
        try {
            core.borrowBytes(rows, (at) =>
                this.#withGrid((grid, clipped) => {
                    core.count('nb_simulate_rows', pool, grid, i, TYPES[type], at, first, n, columns, clipped);
                    rows.set(core.bytes(at, rows.length));
                    this.clipped += this.#double(clipped);
                }),
            );
        } catch (error) {
            throw withName(error, name);
        }
    }

    /**
     * A sink that rounds the matrices of the GGUF, and passes all on to another sink. Bytes wait here until somebody
     * awaits ready(), or until the end.
     * @param {Sink} out
     * @param {(tensor: Planned) => Planned} find where the GGUF has a tensor, once its header is known
     * @returns {Sink & { end: () => Promise<void> }}
     */
    through(out, find) {
        /** @type {Place[] | undefined} */
        let places;
        let written = 0,
            filled = 0,
            now = new Uint8Array(0);
        const queue = new Queue(out),
            place = () => this.tensors.map((tensor) => placeOf(find(tensor))).sort((a, b) => a.at - b.at);
        return {
            ready: () => queue.pass(),
            end: () => queue.pass(),
            room: () => {
                places ??= place();
                const next = places[0];
                if (filled === now.length) {
                    const isInside = next && written >= next.at,
                        bytes = isInside ? this.#rowsOf(next) * next.rowBytes : PASSED;
                    now = new Uint8Array(isInside || !next ? bytes : Math.min(bytes, next.at - written));
                    filled = 0;
                }
                return now.subarray(filled);
            },
            commit: (n) => {
                const next = places?.[0],
                    isInside = next !== undefined && written >= next.at;
                written += n;
                filled += n;
                if (!isInside) {
                    queue.add(now.subarray(filled - n, filled));
                    return;
                }
                if (filled < now.length) return;
                this.#round(next.tensor, next.row, now);
                next.row += now.length / next.rowBytes;
                queue.add(now);
                if (written === next.end) places?.shift();
            },
        };
    }

    /** How many rows are rounded next: of a matrix that shares a grid, all. @param {Place} place */
    #rowsOf({ tensor: { rows, columns, matrices }, row }) {
        return this.how.perTensor
            ? rows
            : Math.min(rows * matrices - row, Math.max(1, Math.floor(WEIGHTS_AT_ONCE / columns)));
    }
}

/** @param {Planned} tensor @returns {Place} */
const placeOf = (tensor) => {
    const { at, bytes, rows, matrices } = tensor;
    return { tensor, at, end: at + bytes, rowBytes: bytes / rows / matrices, row: 0 };
};

/** Bytes on their way to a sink. */
class Queue {
    /** @type {Uint8Array[]} */
    #waiting = [];

    /** @param {Sink} out */
    constructor(out) {
        this.out = out;
    }

    /** @param {Uint8Array} bytes */
    add(bytes) {
        this.#waiting.push(bytes);
    }

    /** Passes all waiting bytes on, each piece when there is room for it. */
    async pass() {
        const { out } = this;
        for (const bytes of this.#waiting.splice(0)) await give(bytes, out);
        await out.ready?.();
    }
}
