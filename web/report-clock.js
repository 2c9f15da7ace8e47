/** When the next report of a long run is due, and how long the rest of it takes. */

/** ms between two reports: some twenty a second. */
export const REPORT_MS = 50;

/** Seconds before the first estimate: the beginning of a run says little about the rest. */
const SILENT = 1;

export class ReportClock {
    #began = performance.now();
    #reported = -Infinity;

    /**
     * Whether a report is due. If it is, the next one is due REPORT_MS later.
     * @param {boolean} [always] whether it is due in any case
     */
    isDue(always = false) {
        const time = performance.now();
        if (!always && time - this.#reported < REPORT_MS) return false;
        this.#reported = time;
        return true;
    }

    /** Seconds since the beginning. */
    spent() {
        return (performance.now() - this.#began) / 1000;
    }

    /**
     * Seconds that the rest takes at the speed so far; null: too early to tell. @param {number} share that is done
     */
    left(share) {
        if (share >= 1) return 0;
        const spent = this.spent();
        return share > 0 && spent >= SILENT ? (spent / share) * (1 - share) : null;
    }
}
