// A file dropped anywhere on the page.

/**
 * @param {HTMLElement} cover shown while a file is dragged over the page
 * @param {(file: File) => void} onFile
 */
export function acceptDrops(cover, onFile) {
    const carriesFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files') ?? false;
    const setCover = (/** @type {boolean} */ shown) => {
        cover.hidden = !shown;
        document.body.classList.toggle('dragging', shown);
    };
    addEventListener('dragover', event => {
        if (!carriesFile(event)) return;
        event.preventDefault();
        setCover(true);
    });
    addEventListener('dragleave', event => {
        if (!event.relatedTarget) setCover(false); // it left the window, not just an element
    });
    addEventListener('drop', event => {
        if (!carriesFile(event)) return;
        event.preventDefault();
        setCover(false);
        const dropped = event.dataTransfer?.files[0];
        if (dropped) onFile(dropped);
    });
}
