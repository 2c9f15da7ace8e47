// The speed of answers: a live plot of tokens per second, and figures.
import { byId, make } from './dom.js';
import { formatDuration, formatRate } from './format.js';
import { axis, colour, loadPlot } from './plot.js';

const WINDOW = 1000; // ms over which the moving rate is computed
const HEIGHT = 110;

export function createSpeed() {
    const box = byId('plot');
    const [rateText, firstText, promptText] = ['stat-rate', 'stat-first', 'stat-prompt'].map((id) => byId(id));
    const library = loadPlot();
    /** @type {import('uplot') | null} */
    let plot = null;
    /** @type {[number[], number[]]} seconds since the first token, tokens per second */
    let points = [[], []];
    /** @type {{ time: number, tokens: number }[]} how many tokens the answer had at each tick of the last WINDOW ms */
    let recent = [];
    // ms of performance.now(); 0: not yet
    let began = 0;
    let firstAt = 0;
    let drawnAt = 0;

    const note = (/** @type {string} */ text) => box.replaceChildren(make('div', { class: 'plot-empty' }, text));

    async function build() {
        const Plot = await library;
        plot?.destroy();
        plot = null;
        if (!Plot) return note('The plot library did not load');
        if (points[0].length < 2) return note('The plot appears with the first answer');
        if (box.clientWidth === 0) return; // the panel is closed: the plot is drawn when it opens
        box.replaceChildren();
        plot = new Plot(
            {
                width: box.clientWidth,
                height: HEIGHT,
                padding: [8, 2, 0, 0],
                legend: { show: false },
                cursor: { show: false },
                scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(1, most * 1.15)] } },
                axes: [
                    {
                        ...axis(),
                        size: 22,
                        gap: 4,
                        space: 48,
                        grid: { show: false },
                        values: (_, ticks) => ticks.map((t) => `${t} s`),
                    },
                    { ...axis(), size: 34, gap: 4, space: 28 },
                ],
                series: [
                    {},
                    { stroke: colour('--mark'), width: 2, fill: colour('--accent-wash'), points: { show: false } },
                ],
            },
            points,
            box,
        );
    }

    new ResizeObserver(() => {
        if (plot && box.clientWidth > 0) plot.setSize({ width: box.clientWidth, height: HEIGHT });
        else build();
    }).observe(box);

    return {
        /** Draws the plot again, in the colours of a new theme. */
        restyle: () => void build(),

        begin() {
            points = [[], []];
            recent = [];
            firstAt = 0;
            drawnAt = 0;
            began = performance.now();
            rateText.textContent = '–';
            firstText.textContent = '–';
            build();
        },

        /** @param {number} tokens of the answer so far */
        tick(tokens) {
            const now = performance.now();
            if (!firstAt) {
                firstAt = now;
                firstText.textContent = formatDuration((now - began) / 1000);
            }
            recent.push({ time: now, tokens });
            while (now - recent[0].time > WINDOW) recent.shift();
            const [{ time, tokens: before }] = recent;
            if (now - time < 50 || now - drawnAt < 100) return;
            drawnAt = now;
            const rate = ((tokens - before) / (now - time)) * 1000;
            points[0].push((now - firstAt) / 1000);
            points[1].push(rate);
            rateText.textContent = formatRate(rate);
            if (plot) plot.setData(points);
            else if (points[0].length === 2) build();
        },

        /** @param {import('../web/index.js').Result['timings']} timings the engine's own, which are exact */
        end({ generateTokensPerSecond: rate, promptTokensPerSecond: prompt }) {
            if (rate && points[0].length < 2) {
                // the answer was too short for a moving rate: draw its mean
                points = [
                    [0, Math.max(0.001, (performance.now() - firstAt) / 1000)],
                    [rate, rate],
                ];
                build();
            }
            rateText.textContent = formatRate(rate);
            promptText.textContent = prompt ? `${formatRate(prompt)} tokens/s` : '–';
            box.setAttribute(
                'aria-label',
                rate
                    ? `Speed of the last answer: ${formatRate(rate)} tokens per second`
                    : 'The last answer was too short to measure',
            );
        },

        /** Seconds from asking to the first token; 0 if none came. */
        firstToken: () => (firstAt ? (firstAt - began) / 1000 : 0),
    };
}
