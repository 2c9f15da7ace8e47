/** Stop strings in streamed text: one may begin in one piece and end in a later one. */
export class StopFinder {
    /** @param {string[]} stops */
    constructor(stops) {
        this.stops = stops;
        this.held = ''; // text that may turn out to be the beginning of a stop string
    }

    /**
     * @param {string} text
     * @returns {{ text: string, found: boolean }} the text that is safe to show now; found: a stop string follows it
     */
    push(text) {
        const all = this.held + text;
        const at = Math.min(...this.stops.map((stop) => all.indexOf(stop)).filter((i) => i >= 0));
        if (at !== Infinity) {
            this.held = '';
            return { text: all.slice(0, at), found: true };
        }
        let keep = 0;
        for (const stop of this.stops)
            for (let n = Math.min(stop.length - 1, all.length); n > keep; n--)
                if (all.endsWith(stop.slice(0, n))) keep = n;
        this.held = all.slice(all.length - keep);
        return { text: all.slice(0, all.length - keep), found: false };
    }

    /** What was held back, when no more text comes. */
    flush() {
        const { held } = this;
        this.held = '';
        return held;
    }
}
