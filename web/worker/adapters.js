/**
 * The LoRA adapters of a model (src/models/adapter.h): read, kept by their names, and given to sessions. What a session
 * holds was computed with its adapters, so it forgets that when it gets others.
 */
import { about, NibbleError } from '../errors.js';
import { adapterFiles } from '../sources/adapter.js';
import { bytesOf, openOne, openPort } from '../sources/open.js';
import { convert } from './convert.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('../index.d.ts').AdapterScale} AdapterScale */
/** @typedef {{ id: number, name: string, handle: number, bytes: number }} Known */
/** Adapters in the order of their ids, none with scale 0. key: the same for the same adapters and scales.
 * @typedef {{ key: string, use: { known: Known, scale: number }[] }} AdapterSet */

/** @param {string} message */
const refuse = (message) => new NibbleError('NB_ERR_ARGUMENT', message);

export class Adapters {
    #engine;
    /** @type {Map<string, Known>} */
    #known = new Map();
    #lastId = 0;
    /** What requests that do not say otherwise are computed with. @type {AdapterSet} */
    chosen = { key: '', use: [] };
    /** Of the other sessions. @type {Map<number, AdapterSet>} */
    #others = new Map();
    /** Those that were removed while another session computes with them. @type {Known[]} */
    #removed = [];

    /** @param {Engine} engine */
    constructor(engine) {
        this.#engine = engine;
    }

    /** What the selected sequence of the engine's session has. */
    get applied() {
        return this.#engine.seats.current.adapters;
    }

    /**
     * @param {import('../sources/open.js').Source} source
     * @param {string} name
     * @param {number} scale
     * @param {() => Promise<Uint8Array | null>} nextFromPort
     * @param {import('./engine.js').Job} job if it is stopped, nothing is added
     */
    async add(source, name, scale, nextFromPort, job) {
        const engine = this.#engine,
            { core, model } = engine;
        engine.needSession();
        if (this.#known.has(name)) throw refuse(`there is an adapter ${JSON.stringify(name)} already: remove it first`);
        try {
            const bytes = await this.#read(source, nextFromPort);
            if (job.stopped) return;
            const handle = core.borrowBytes(bytes, (at, size) => core.object('nb_adapter_new', model, at, size));
            const known = { id: ++this.#lastId, name, handle, bytes: core.exports.nb_adapter_bytes(handle) };
            this.#known.set(name, known);
        } catch (error) {
            throw about(`adapter ${JSON.stringify(name)}`, error);
        }
        this.choose([...this.#scales(this.chosen), { name, scale }]);
    }

    /**
     * The bytes of a GGUF.
     * @param {import('../sources/open.js').Source} source
     * @param {() => Promise<Uint8Array | null>} nextFromPort
     */
    async #read(source, nextFromPort) {
        if (source.kind === 'port') return bytesOf(openPort(source.total, nextFromPort));
        const files = await adapterFiles(source);
        if (!Array.isArray(files)) return bytesOf(await openOne(files));
        const { description, assets } = this.#engine,
            { architecture = '', headSize = 0 } = description;
        return bytesOf(
            convert(files, {
                assets: /** @type {import('../assets.js').Assets} */ (assets),
                setUp: (core, converter) =>
                    core.borrowText(architecture, (at, length) =>
                        core.count('nb_converter_adapter', converter, at, length, headSize),
                    ),
            }),
        );
    }

    /** @param {AdapterSet} set @returns {AdapterScale[]} */
    #scales = ({ use }) => use.map(({ known, scale }) => ({ name: known.name, scale }));

    /** @param {string} name */
    #find(name) {
        const known = this.#known.get(name);
        if (known) return known;
        const names = [...this.#known.keys()].map((each) => JSON.stringify(each)).join(', ');
        throw refuse(`there is no adapter ${JSON.stringify(name)}: ${names ? `there are ${names}` : 'there is none'}`);
    }

    /**
     * @param {readonly AdapterScale[]} scales
     * @returns {AdapterSet}
     */
    set(scales) {
        const use = scales
            .map(({ name, scale = 1 }) => ({ known: this.#find(name), scale }))
            .filter(({ scale }) => scale !== 0)
            .sort((a, b) => a.known.id - b.known.id);
        return { key: use.map(({ known, scale }) => `${known.id}*${scale}`).join(), use };
    }

    /** @param {readonly AdapterScale[]} scales */
    choose(scales) {
        this.chosen = this.set(scales);
    }

    /** @param {string} name */
    remove(name) {
        const known = this.#find(name),
            others = (/** @type {AdapterSet} */ set) => this.#scales(set).filter((each) => each.name !== name);
        this.choose(others(this.chosen));
        for (const seat of this.#engine.seats.all) {
            if (!seat.adapters.use.some((each) => each.known === known)) continue;
            this.#engine.seats.select(seat);
            this.apply(this.set(others(seat.adapters)));
        }
        this.#known.delete(name);
        this.#removed.push(known);
        this.#freeUnused();
    }

    #freeUnused() {
        const used = new Set([...this.#others.values()].flatMap(({ use }) => use.map(({ known }) => known)));
        for (const known of this.#removed)
            if (!used.has(known)) this.#engine.core.exports.nb_adapter_free(known.handle);
        this.#removed = this.#removed.filter((known) => used.has(known));
    }

    /** All of them, with the scales that are chosen. @returns {import('../protocol.js').Adapted} */
    state() {
        const adapters = [...this.#known.values()].map(({ name, bytes }) => ({
            name,
            bytes,
            scale: this.chosen.use.find(({ known }) => known.name === name)?.scale ?? 0,
        }));
        return { adapters, memoryBytes: this.#engine.core.size };
    }

    /** The selected sequence of the engine's session computes with these from now on. @param {AdapterSet} set */
    apply(set) {
        if (set.key === this.applied.key) return;
        this.#give(this.#engine.session, set);
        this.#engine.seats.current.adapters = set;
    }

    /** @param {number} session @param {AdapterSet} set */
    #give(session, { use }) {
        const { core } = this.#engine,
            n = use.length;
        core.borrow(8 * n + 8, (at) => {
            core.ints(at, n).set(use.map(({ known }) => known.handle));
            core.floats(at + 4 * n, n).set(use.map(({ scale }) => scale));
            core.count('nb_session_adapt', session, at, at + 4 * n, n);
        });
    }

    /**
     * A session beside the engine's, with the adapters that are chosen now. close() frees it: until then none of them
     * is freed, as other requests run between its batches.
     * @param {number} context
     */
    open(context) {
        const { core, model, pool, kvType, precision } = this.#engine,
            session = core.object('nb_session_new', model, pool, context, 0, kvType, precision, 1);
        try {
            if (this.chosen.use.length > 0) this.#give(session, this.chosen);
            this.#others.set(session, this.chosen);
            return session;
        } catch (error) {
            core.exports.nb_session_free(session);
            throw error;
        }
    }

    /** @param {number} session */
    close(session) {
        this.#engine.core.exports.nb_session_free(session);
        this.#others.delete(session);
        this.#freeUnused();
    }
}
