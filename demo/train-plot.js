// The training page's plot: the loss of each step, and that of the text that is held out.
import { make } from './dom.js';
import { axis, colour, loadPlot } from './plot.js';

/** @typedef {import('../web/index.js').TrainStep} TrainStep */

const HEIGHT = 280;
/** Between two drawings, in ms. */
const PAUSE = 100;

/** @param {HTMLElement} box */
export function createLossPlot(box) {
    const library = loadPlot();
    /** @type {import('uplot') | null} */
    let plot = null;
    /** @type {TrainStep[]} */
    let history = [];
    let isDue = false;

    async function draw() {
        isDue = false;
        const Plot = await library,
            width = box.clientWidth;
        if (!Plot) return box.replaceChildren(make('div', { class: 'plot-empty' }, 'The plot library did not load'));
        if (history.length === 0) {
            plot?.destroy();
            plot = null;
        }
        if (history.length === 0 || width === 0) return;
        const last = history[history.length - 1];
        box.setAttribute('aria-label', `Loss by step: ${last.loss.toFixed(3)} at step ${last.step}`);
        if (plot && plot.width === width) return plot.setData(dataOf(history));
        plot?.destroy();
        box.replaceChildren();
        plot = new Plot(optionsOf(width), dataOf(history), box);
    }

    function soon() {
        if (!isDue) setTimeout(draw, PAUSE);
        isDue = true;
    }
    new ResizeObserver(soon).observe(box);

    return {
        restyle() {
            plot?.destroy();
            plot = null;
            soon();
        },
        /** @param {TrainStep[]} now */
        show(now) {
            history = now;
            soon();
        },
    };
}

/** @param {TrainStep[]} history @returns {import('uplot').AlignedData} */
const dataOf = (history) => [
    history.map(({ step }) => step),
    history.map(({ loss }) => loss),
    history.map(({ validationLoss }) => validationLoss ?? null),
];

/** @param {number} width @returns {import('uplot').Options} */
const optionsOf = (width) => ({
    width,
    height: HEIGHT,
    padding: [14, 8, 0, 0],
    cursor: { show: false },
    legend: { show: false },
    scales: { x: { time: false } },
    axes: [axis(), axis()],
    series: [
        { label: 'step' },
        { label: 'each step', stroke: colour('--mark'), width: 1.5, points: { show: false } },
        { label: 'held out', stroke: colour('--danger'), width: 1.5, spanGaps: true, points: { show: true, size: 6 } },
    ],
});
