/** How far the measurements of mix.js are, by what the steps cost. */
import { ReportClock } from '../report-clock.js';

export class MixProgress {
    /** What all steps cost, and those that are done. */
    total = 0;
    done = 0;
    #clock = new ReportClock();

    /** @param {(progress: import('../index.d.ts').Progress) => void} report */
    constructor(report) {
        this.report = report;
    }

    /** @param {string} tensor that is measured, or 'importance' @param {number} more than `done` */
    tick(tensor, more) {
        if (!this.#clock.isDue()) return;
        const share = this.total > 0 ? (this.done + more) / this.total : 0;
        this.report({
            ...{ loaded: 0, total: 0, rate: 0, secondsLeft: this.#clock.left(share) },
            measuring: { tensor, share },
        });
    }
}
