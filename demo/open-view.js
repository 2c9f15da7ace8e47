// Opens another model: by the dialog's buttons or URL, or by files or a folder dropped anywhere on the page.
import { allWeights } from '../web/sources/names.js';
import { byId, make } from './dom.js';
import { acceptChoice, acceptDrops } from './drop.js';

/** A model that the page can load. @typedef {{ name: string, source: string | File | File[], size?: string }} Candidate */

/**
 * @param {Candidate[]} builtIn
 * @param {(candidate: Candidate) => void} onOpen
 * @param {(given: import('./drop.js').Given) => void} [onDrop] called with dropped files. Without it they are opened
 *     like chosen ones
 */
export function createOpenView(builtIn, onOpen, onDrop) {
    /** @type {HTMLDialogElement} */
    const dialog = byId('open-dialog');
    /** @type {HTMLInputElement} */
    const url = byId('url');

    const open = (/** @type {Candidate} */ candidate) => {
        dialog.close();
        onOpen(candidate);
    };
    const openFiles = (/** @type {import('./drop.js').Given} */ given) => open(candidateOf(given));

    byId('open-close').addEventListener('click', () => dialog.close());
    acceptChoice(byId('files'), byId('pick-files'), openFiles);
    acceptChoice(byId('folder'), byId('pick-folder'), openFiles);
    // browsers on some phones cannot choose a folder
    byId('pick-folder').hidden = !('webkitdirectory' in HTMLInputElement.prototype);
    byId('url-form').addEventListener('submit', (event) => {
        event.preventDefault();
        open(candidateAt(url.value, builtIn));
    });
    dialog.addEventListener('click', (event) => {
        if (event.target === dialog) dialog.close(); // the backdrop
    });
    byId('built-in').append(
        ...builtIn.map((candidate) => {
            const button = make('button', { type: 'button' }, candidate.name, make('span', {}, candidate.size ?? ''));
            button.addEventListener('click', () => open(candidate));
            return make('li', {}, button);
        }),
    );

    acceptDrops(byId('drop-cover'), onDrop ?? openFiles);

    return { show: () => dialog.showModal() };
}

/**
 * The model at a URL. If the URL is not valid, load() says so.
 * @param {string} address may be relative to the page
 * @param {Candidate[]} known
 * @returns {Candidate}
 */
export function candidateAt(address, known) {
    let source = address;
    try {
        source = new URL(address, location.href).href;
    } catch {
        return { name: address, source };
    }
    return known.find((candidate) => candidate.source === source) ?? { name: nameOf(source), source };
}

/** The model of the files that were given: one file, or several that belong together.
 * @param {import('./drop.js').Given} given @returns {Candidate} */
export function candidateOf({ files, folder }) {
    // the first file of weights; if there is none, the first file
    const [first = files[0]?.name] = allWeights(files.map((file) => file.name));
    const name = folder ?? (first === undefined ? 'no file' : withoutEnding(first));
    return { name, source: files.length === 1 && folder === undefined ? files[0] : files };
}

/**
 * A short name for a model: the last part of its URL, without the extension. For the root of a repository on the
 * hub (.../REPOSITORY/resolve/REVISION/) it is the repository's name.
 * @param {string} address
 */
function nameOf(address) {
    const parts = new URL(address).pathname.split('/').filter(Boolean);
    const last = (address.endsWith('/') && parts.at(-2) === 'resolve' ? parts.at(-3) : parts.at(-1)) ?? address;
    try {
        return withoutEnding(decodeURIComponent(last));
    } catch {
        return last; // a stray % in the URL
    }
}

/** A file's name without its extension, without a part's number ("-00001-of-00003"), and without the number that a
 * browser adds to a repeated download (" (1)"). @param {string} name */
const withoutEnding = (name) => name.replace(/(-\d{5}-of-\d{5})?( ?\(\d+\))?\.(gguf|safetensors)$/i, '');
