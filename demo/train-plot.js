// Plots the loss of one or several trainings: of each step, and of the held-out text.
import { make } from './dom.js';
import { axis, colour, loadPlot } from './plot.js';

/** The steps of a training, and colours of style.css for its line and for the points of the held-out text.
 * @typedef {{ history: import('../web/index.js').TrainStep[], stroke: string, heldOut: string }} Curve */

const HEIGHT = 280;
/** The least time between two drawings, in ms. */
const PAUSE = 100;

/** @param {HTMLElement} box */
export function createLossPlot(box) {
    const library = loadPlot();
    /** @type {import('uplot') | null} */
    let plot = null;
    /** @type {Curve[]} those that have at least one step */
    let curves = [];
    let isDue = false;

    async function draw() {
        isDue = false;
        const Plot = await library,
            width = box.clientWidth;
        if (!Plot) return box.replaceChildren(make('div', { class: 'plot-empty' }, 'The plot library did not load'));
        if (curves.length === 0) {
            plot?.destroy();
            plot = null;
        }
        if (curves.length === 0 || width === 0) return;
        const ends = curves.map(({ history }) => history[history.length - 1]);
        box.setAttribute(
            'aria-label',
            `Loss by step: ${ends.map(({ loss, step }) => `${loss.toFixed(3)} at step ${step}`).join('; ')}`,
        );
        if (plot && plot.width === width && plot.series.length === 1 + 2 * curves.length)
            return plot.setData(dataOf(curves));
        plot?.destroy();
        box.replaceChildren();
        plot = new Plot(optionsOf(width, curves), dataOf(curves), box);
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
        /** @param {Curve[]} now */
        show(now) {
            curves = now.filter(({ history }) => history.length > 0);
            soon();
        },
    };
}

/** The data of the plot. All curves have the steps 1, 2, 3, ...
 * @param {Curve[]} curves @returns {import('uplot').AlignedData} */
function dataOf(curves) {
    const steps = Math.max(...curves.map(({ history }) => history.length)),
        all = Array.from({ length: steps }, (_, i) => i);
    return [
        all.map((i) => i + 1),
        ...curves.flatMap(({ history }) => [
            all.map((i) => history[i]?.loss ?? null),
            all.map((i) => history[i]?.validationLoss ?? null),
        ]),
    ];
}

/** @param {number} width @param {Curve[]} curves @returns {import('uplot').Options} */
const optionsOf = (width, curves) => ({
    width,
    height: HEIGHT,
    padding: [14, 8, 0, 0],
    cursor: { show: false },
    legend: { show: false },
    scales: { x: { time: false } },
    axes: [axis(), axis()],
    series: [
        { label: 'step' },
        ...curves.flatMap(({ stroke, heldOut }) => [
            { label: 'each step', stroke: colour(stroke), width: 1.5, points: { show: false } },
            {
                label: 'held out',
                stroke: colour(heldOut),
                width: 1.5,
                spanGaps: true,
                points: { show: true, size: 6 },
            },
        ]),
    ],
});
