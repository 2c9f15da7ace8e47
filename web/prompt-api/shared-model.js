/** The model that the sessions of one class share: loaded with the first of them, freed with the last. */
import { load } from '../index.js';

/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../index.d.ts').Source} Source */
/** @typedef {(share: number) => void} Listener */

/** A source is never an object with this method. @param {any} source @returns {source is Model} */
const isModel = (source) => typeof source?.applyTemplate === 'function';

/** Not 1, which says that the model can be used. */
const NEARLY = 1 - 2 ** -16;

export class SharedModel {
    /** @type {Model | undefined} */
    model;
    /** Why the model cannot be prompted, once that is known. @type {string | undefined} */
    problem;
    /** @type {Promise<Model> | undefined} */
    #loading;
    /** Of the load. */
    #leaving = new AbortController();
    #users = 0;
    /** @type {Set<Listener>} */
    #listeners = new Set();
    #source;
    #options;

    /**
     * @param {Source | Model} source
     * @param {import('../index.d.ts').LoadOptions} options
     */
    constructor(source, options) {
        this.#source = source;
        this.#options = options;
        if (isModel(source)) this.#take(source);
    }

    /** @param {Model} model */
    #take(model) {
        this.model = model;
        this.problem = problemOf(model);
        return model;
    }

    /** @returns {import('./index.d.ts').Availability} */
    get availability() {
        if (this.problem) return 'unavailable';
        if (this.model) return 'available';
        return this.#loading ? 'downloading' : 'downloadable';
    }

    /**
     * Counts one more user, who calls release() whatever comes of it.
     * @param {Listener} listener gets how much is loaded, from 0 to 1
     * @returns {Promise<Model>}
     */
    async acquire(listener) {
        this.#users++;
        if (this.model) return this.model;
        this.#loading ??= this.#load();
        this.#listeners.add(listener);
        try {
            return await this.#loading;
        } finally {
            this.#listeners.delete(listener);
        }
    }

    async #load() {
        this.#leaving = new AbortController();
        const { signal } = this.#leaving;
        try {
            const model = await load(/** @type {Source} */ (this.#source), {
                ...this.#options,
                signal,
                onProgress: ({ loaded, total }) => {
                    for (const listener of this.#listeners) if (total > 0) listener(Math.min(loaded / total, NEARLY));
                },
            });
            if (signal.aborted) {
                await model.dispose();
                throw signal.reason;
            }
            return this.#take(model);
        } finally {
            if (!signal.aborted) this.#loading = undefined;
        }
    }

    /** One more session of a model that is there. */
    share() {
        this.#users++;
    }

    release() {
        this.#users--;
        if (this.#users > 0 || isModel(this.#source)) return;
        this.#leaving.abort();
        this.#loading = undefined;
        this.model?.dispose();
        this.model = undefined;
    }
}

/** Why a model cannot be prompted. @param {Model} model */
function problemOf({ info }) {
    if (info.unsupported) return info.unsupported;
    if (info.encoder || info.causal === false) return 'this model embeds texts, and cannot answer';
    return info.chatTemplate ? undefined : 'this model has no chat template: it continues texts rather than answering';
}
