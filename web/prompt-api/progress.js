/** How create() tells how much of the model is loaded. */

/** The fraction is rounded down to a multiple of this, as the specification says. */
const STEP = 1 / 65536;

/** A ProgressEvent by its properties. Those of some browsers hold whole numbers only, and Node has none. */
class DownloadProgressEvent extends Event {
    total = 1;
    lengthComputable = true;

    /** @param {number} loaded */
    constructor(loaded) {
        super('downloadprogress');
        this.loaded = loaded;
    }
}

class CreateMonitor extends EventTarget {
    /** @type {((event: DownloadProgressEvent) => void) | null} */
    ondownloadprogress = null;

    constructor() {
        super();
        this.addEventListener('downloadprogress', (event) => this.ondownloadprogress?.(/** @type {any} */ (event)));
    }
}

/**
 * Calls create()'s monitor; its error is create()'s.
 * @param {any} callback
 * @returns {(share: number, signal?: AbortSignal) => void} takes how much is loaded, in any order, until it is aborted
 */
export function progressTo(callback) {
    if (callback === undefined) return () => {};
    if (typeof callback !== 'function') throw new TypeError('monitor must be a function');
    const monitor = new CreateMonitor();
    callback(monitor);
    let last = -1;
    return (share, signal) => {
        const loaded = Math.floor(share / STEP) * STEP;
        if (loaded <= last || signal?.aborted) return;
        last = loaded;
        monitor.dispatchEvent(new DownloadProgressEvent(loaded));
    };
}
