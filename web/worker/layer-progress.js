/** Progress of a calibrated quantization: the layers that are done, and the steps of the current layer, weighted by
 * their times in the layer before. */
import { ReportClock } from '../report-clock.js';

/** @typedef {import('../index.d.ts').Progress} Progress */
/** @typedef {NonNullable<Progress['calibration']>} Calibration */

export class LayerProgress {
    #clock = new ReportClock();

    /**
     * @param {(progress: Progress) => void} report
     * @param {number} layers
     * @param {number} total bytes that all layers become
     */
    constructor(report, layers, total) {
        this.report = report;
        this.layers = layers;
        this.total = total;
        this.loaded = 0;
        this.layer = 0;
        /** Milliseconds of each step of the previous layer, and of the current one. @type {number[]} */
        this.before = [];
        /** @type {number[]} */
        this.now = [];
        this.stepBegan = 0;
    }

    /** @param {number} layer @param {number} steps that it has, at most */
    beginLayer(layer, steps) {
        this.layer = layer;
        this.before = this.now.length === steps ? this.now : Array(steps).fill(1);
        this.now = [];
    }

    /**
     * One step of a layer.
     * @template T
     * @param {Calibration['stage']} stage
     * @param {string} tensor the first that it is for
     * @param {(tick: (share: number) => Promise<void>) => Promise<T>} run
     */
    async step(stage, tensor, run) {
        const began = performance.now();
        this.tick(stage, tensor, 0, true);
        const result = await run(async (share) => this.tick(stage, tensor, share));
        this.now.push(performance.now() - began);
        return result;
    }

    /**
     * @param {Calibration['stage']} stage
     * @param {string} tensor
     * @param {number} share of the step
     * @param {boolean} [always] whether to report even right after the last report
     */
    tick(stage, tensor, share, always) {
        if (!this.#clock.isDue(always)) return;
        const { before, now, layer, layers } = this,
            sum = (/** @type {number[]} */ numbers) => numbers.reduce((a, b) => a + b, 0);
        const inLayer = (sum(before.slice(0, now.length)) + share * (before[now.length] ?? 0)) / sum(before),
            part = (layer + inLayer) / layers,
            spent = this.#clock.spent();
        this.report({
            loaded: this.loaded,
            total: this.total,
            rate: spent > 0 ? this.loaded / spent : 0,
            secondsLeft: this.#clock.left(part),
            calibration: { layer, layers, stage, tensor, share: part },
        });
    }
}
