// The ways to another model: the dialog's file button and address, and a file dropped anywhere on the page.
import { byId, make } from './dom.js';
import { acceptDrops } from './drop.js';

/** What the page can load. @typedef {{ name: string, source: string | File, size?: string }} Candidate */

/**
 * @param {Candidate[]} builtIn
 * @param {(candidate: Candidate) => void} onOpen
 */
export function createOpenView(builtIn, onOpen) {
    /** @type {HTMLDialogElement} */
    const dialog = byId('open-dialog');
    /** @type {HTMLInputElement} */
    const file = byId('file');
    /** @type {HTMLInputElement} */
    const url = byId('url');

    const open = (/** @type {Candidate} */ candidate) => {
        dialog.close();
        onOpen(candidate);
    };
    const openFile = (/** @type {File} */ chosen) => open({ name: withoutEnding(chosen.name), source: chosen });

    byId('open-close').addEventListener('click', () => dialog.close());
    byId('pick-file').addEventListener('click', () => file.click());
    file.addEventListener('change', () => {
        const chosen = file.files?.[0];
        file.value = ''; // so that the same file, mended, can be chosen again
        if (chosen) openFile(chosen);
    });
    byId('url-form').addEventListener('submit', event => {
        event.preventDefault();
        const address = new URL(url.value, location.href);
        open({ name: nameOf(address.href), source: address.href });
    });
    dialog.addEventListener('click', event => {
        if (event.target === dialog) dialog.close(); // the backdrop
    });
    byId('built-in').append(...builtIn.map(candidate => {
        const button = make('button', { type: 'button' }, candidate.name, make('span', {}, candidate.size ?? ''));
        button.addEventListener('click', () => open(candidate));
        return make('li', {}, button);
    }));

    acceptDrops(byId('drop-cover'), openFile);

    return { show: () => dialog.showModal() };
}

/**
 * A file's name as a person would say it: the last part of the address, without its ending.
 * @param {string} address
 */
export function nameOf(address) {
    const last = new URL(address).pathname.split('/').filter(Boolean).at(-1) ?? address;
    try {
        return withoutEnding(decodeURIComponent(last));
    } catch {
        return last; // a stray % in the address
    }
}

/** @param {string} name */
export function withoutEnding(name) {
    return name.replace(/\.gguf$/i, '');
}
