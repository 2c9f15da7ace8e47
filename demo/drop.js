// Files and folders that are dropped anywhere on the page, or chosen in the browser's dialog.

/** Files that were given together. folder: the name of the folder that has them, if it was given.
 * @typedef {{ files: File[], folder?: string }} Given */

/**
 * @param {HTMLElement} cover shown while a file is dragged over the page
 * @param {(given: Given) => void} onFiles
 */
export function acceptDrops(cover, onFiles) {
    const carriesFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files') ?? false;
    const setCover = (/** @type {boolean} */ shown) => {
        cover.hidden = !shown;
        document.body.classList.toggle('dragging', shown);
    };
    addEventListener('dragover', (event) => {
        if (!carriesFile(event)) return;
        event.preventDefault();
        setCover(true);
    });
    addEventListener('dragleave', (event) => {
        if (!event.relatedTarget) setCover(false); // the pointer left the window, not just an element
    });
    addEventListener('drop', async (event) => {
        if (!carriesFile(event)) return;
        event.preventDefault();
        setCover(false);
        const given = await filesOf(/** @type {DataTransfer} */ (event.dataTransfer));
        if (given) onFiles(given);
    });
}

/** @param {DataTransfer} transfer @returns {Promise<Given | undefined>} */
async function filesOf(transfer) {
    const files = [...transfer.files]; // the browser empties both lists at the first await
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
    const folders = /** @type {FileSystemDirectoryEntry[]} */ (entries.filter((entry) => entry?.isDirectory));
    if (folders.length === 0) return files.length > 0 ? { files } : undefined;
    const single = /** @type {FileSystemFileEntry[]} */ (entries.filter((entry) => entry?.isFile));
    const inside = (await Promise.all(folders.map(filesIn))).flat();
    return { files: await Promise.all([...single, ...inside].map(toFile)), folder: folders[0].name };
}

/** The files directly in a folder. Models have no files in subfolders. @param {FileSystemDirectoryEntry} folder */
async function filesIn(folder) {
    const reader = folder.createReader();
    /** @type {FileSystemFileEntry[]} */
    const found = [];
    for (;;) {
        // a reader returns up to a hundred entries at a time, and none at the end
        const entries = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ resolve) =>
            reader.readEntries(resolve, () => resolve([])),
        );
        if (entries.length === 0) return found;
        found.push(.../** @type {FileSystemFileEntry[]} */ (entries.filter((entry) => entry.isFile)));
    }
}

/** The file of an entry. If it cannot be read, this is an empty file, so that the engine's error names it.
 * @param {FileSystemFileEntry} entry @returns {Promise<File>} */
const toFile = (entry) => new Promise((resolve) => entry.file(resolve, () => resolve(new File([], entry.name))));

/**
 * Calls onFiles with the files that are chosen. The same files can be chosen again.
 * @param {HTMLInputElement} input of type "file", for files or for a folder
 * @param {HTMLElement} button which opens the dialog
 * @param {(given: Given) => void} onFiles
 */
export function acceptChoice(input, button, onFiles) {
    button.addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
        const chosen = [...(input.files ?? [])];
        input.value = '';
        if (!input.webkitdirectory) return void (chosen.length > 0 && onFiles({ files: chosen }));
        // The files of a folder come with paths such as "folder/file" and "folder/inner/file".
        onFiles({
            files: chosen.filter((file) => file.webkitRelativePath.split('/').length === 2),
            folder: chosen[0]?.webkitRelativePath.split('/')[0],
        });
    });
}
