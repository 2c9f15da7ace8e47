/** wllama's managers of downloads. nibble keeps no downloads: lists are empty, and methods that keep a file refuse. */
import { partNames } from '../sources/names.js';
import { lacking } from './errors.js';

const ADVICE =
    "nibble keeps no downloads: give loadModelFromUrl() the URL, and let the browser's cache or a service worker keep " +
    'the file, as demo/sw.js does';

/** @param {string} what @returns {any} */
const refuse = (what) => {
    throw lacking(what, ADVICE, 'download_error');
};

export const ModelValidationStatus = Object.freeze({ VALID: 'valid', INVALID: 'invalid', DELETED: 'deleted' });

export class CacheManager {
    async list() {
        return [];
    }
    async clear() {}
    async delete() {}
    async deleteMany() {}
    async open() {
        return null;
    }
    async getSize() {
        return -1;
    }
    async getMetadata() {
        return null;
    }
    async getNameFromURL() {
        return refuse('cacheManager.getNameFromURL()');
    }
    async download() {
        return refuse('cacheManager.download()');
    }
    async write() {
        return refuse('cacheManager.write()');
    }
    async writeMetadata() {
        return refuse('cacheManager.writeMetadata()');
    }
}

/** A URL that loadModel() takes. */
export class Model {
    size = 0;
    /** @type {never[]} */
    files = [];

    /** @param {unknown} _manager @param {string} url @param {string} [mmprojUrl] */
    constructor(_manager, url, mmprojUrl) {
        this.url = url;
        this.mmprojUrl = mmprojUrl;
    }
    validate() {
        return ModelValidationStatus.INVALID;
    }
    async open() {
        return refuse('Model.open()');
    }
    async refresh() {
        return refuse('Model.refresh()');
    }
    async remove() {}
}

export class ModelManager {
    /** @param {{ cacheManager?: CacheManager, logger?: any }} [params] */
    constructor(params = {}) {
        this.params = params;
        this.cacheManager = params.cacheManager ?? new CacheManager();
        this.logger = params.logger ?? console;
    }
    /** The URLs of all parts. @param {string | string[]} url of the first of them */
    static parseModelUrl(url) {
        if (Array.isArray(url)) return url;
        const [, folder, name, query] = /^(.*\/)?([^/?]*)(\?.*)?$/s.exec(url) ?? [];
        return (partNames(name) ?? [name]).map((part) => `${folder ?? ''}${part}${query ?? ''}`);
    }
    async getModels() {
        return [];
    }
    async clear() {}
    async downloadModel() {
        return refuse('modelManager.downloadModel()');
    }
    async getModelOrDownload() {
        return refuse('modelManager.getModelOrDownload()');
    }
}
