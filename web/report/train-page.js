/**
 * A training as one page, which needs no script, no network and no other file: what was trained, and a plot of its
 * loss.
 */
import { beginning, hashOf, table } from './page.js';

/** What is shown of a step. The speed of steps before a checkpoint is unknown.
 * @typedef {import('../index.d.ts').TrainingInfo['history'][number] & { tokensPerSecond?: number }} ShownStep */

/** The plot's size, and its margins for labels. */
const WIDTH = 900,
    HEIGHT = 400,
    LEFT = 60,
    RIGHT = 20,
    TOP = 10,
    BOTTOM = 40;

/** Points of a line at most: neighbours are averaged. */
const MOST_POINTS = 450;

/** The weight of the newest step in the moving average. */
const NEWEST = 0.1;

const STYLE = `
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 13px; }
svg .grid { stroke: var(--line); }
svg polyline { fill: none; stroke: var(--c0); stroke-width: 2; }
svg .each { stroke-width: 1; opacity: .35; }
svg .held { stroke: var(--c1); }
svg circle { fill: var(--c1); }
.loss { color: var(--c0); }
.heldout { color: var(--c1); }
`;

/** A divergence may be far smaller than a cross-entropy. @param {number} loss */
export const shownLoss = (loss) => (Math.abs(loss) < 0.1 ? loss.toPrecision(3) : loss.toFixed(4));

/**
 * @param {string} title
 * @param {import('../index.d.ts').TrainingInfo} info
 * @param {ShownStep[]} history one step or more
 * @param {string} style what tools/bundle.js makes, build/report.css
 * @param {string} [loss] what the loss is
 * @returns {Promise<string>}
 */
export async function trainingPage(title, info, history, style, loss = 'cross-entropy of a token') {
    const own = `${style}${STYLE}`,
        policy = `default-src 'none'; style-src ${await hashOf(own)}`,
        last = history[history.length - 1],
        held = history.filter(({ validationLoss }) => validationLoss !== undefined),
        count = (/** @type {number} */ n) => n.toLocaleString('en');
    const rows = [
        ['parameters', count(info.parameters)],
        ['text', `${count(info.tokens)} tokens, ${count(info.sequences)} sequences, ${count(info.heldOut)} held out`],
        ['a step', `${info.batch} sequences of ${info.length} tokens`],
        ['steps', `${last.step} of ${info.steps}`],
        ['loss', shownLoss(last.loss)],
        [
            'loss of the held-out text',
            held.length > 0 ? shownLoss(Number(held[held.length - 1].validationLoss)) : 'not measured',
        ],
        ...(last.tokensPerSecond === undefined
            ? []
            : [['speed', `${count(Math.round(last.tokensPerSecond))} tokens per second`]]),
    ];
    return `${beginning(title, policy, own)}
<p class="lead">The mean ${loss}, in nats. The thin line is that of <b class="loss">each step</b>, the thick one its
mean over the last steps${held.length > 0 ? '; the points are of <b class="heldout">the held-out text</b>' : ''}.</p>
<section class="figure"><div class="plot">${plot(history)}</div></section>
<section>${table(['training', ''], rows)}</section>
</main>
</body>
</html>
`;
}

/** @typedef {{ x: number, y: number }} Point */

/** @param {ShownStep[]} history */
function plot(history) {
    const each = thinned(history.map(({ step, loss }) => ({ x: step, y: loss }))),
        means = thinned(meansOf(history)),
        held = thinned(history.flatMap(({ step: x, validationLoss: y }) => (y === undefined ? [] : [{ x, y }]))),
        ys = [...each, ...means, ...held].map(({ y }) => y);
    const [first, last] = [history[0].step, history[history.length - 1].step],
        xTicks = ticksOf(first, last, 8).filter((x) => Number.isInteger(x) && x >= first && x <= last),
        yTicks = ticksOf(Math.min(...ys), Math.max(...ys), 6);
    const x = scale([first, last], [LEFT, WIDTH - RIGHT]),
        y = scale([yTicks[0], yTicks[yTicks.length - 1]], [HEIGHT - BOTTOM, TOP]);
    const line = (/** @type {string} */ name, /** @type {Point[]} */ points) =>
        `<polyline class="${name}" points="${points.map((p) => `${x(p.x)},${y(p.y)}`).join(' ')}"/>`;
    return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Loss by step">
${yTicks
    .map(
        (tick) =>
            `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}"/>` +
            `<text x="${LEFT - 8}" y="${y(tick) + 4}" text-anchor="end">${label(tick)}</text>`,
    )
    .join('\n')}
${xTicks
    .map((tick) => `<text x="${x(tick)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${label(tick)}</text>`)
    .join('\n')}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">step</text>
${line('each', each)}
${line('mean', means)}
${held.length > 1 ? line('held', held) : ''}
${held.map((p) => `<circle cx="${x(p.x)}" cy="${y(p.y)}" r="3"/>`).join('')}
</svg>`;
}

const label = (/** @type {number} */ tick) => String(Number(tick.toPrecision(6)));

/**
 * A function from numbers to coordinates, which are rounded to tenths of a pixel.
 * @param {[number, number]} from
 * @param {[number, number]} to
 */
const scale =
    ([low, high], [first, last]) =>
    (/** @type {number} */ value) =>
        Math.round(10 * (first + ((value - low) / (high - low || 1)) * (last - first))) / 10;

/**
 * An exponential moving average, corrected for its start at zero, as Adam's are.
 * @param {ShownStep[]} history
 * @returns {Point[]}
 */
function meansOf(history) {
    let sum = 0,
        weight = 0;
    return history.map(({ step, loss }) => {
        sum += NEWEST * (loss - sum);
        weight += NEWEST * (1 - weight);
        return { x: step, y: sum / weight };
    });
}

/** @param {Point[]} points */
function thinned(points) {
    const n = Math.ceil(points.length / MOST_POINTS);
    return Array.from({ length: Math.ceil(points.length / n) }, (_, i) => {
        const some = points.slice(i * n, (i + 1) * n),
            mean = (/** @type {(point: Point) => number} */ of) =>
                some.reduce((sum, point) => sum + of(point), 0) / some.length;
        return { x: mean((point) => point.x), y: mean((point) => point.y) };
    });
}

/**
 * Round numbers that enclose a range, about n of them: steps are 1, 2 or 5 times a power of ten.
 * @param {number} low
 * @param {number} high
 * @param {number} n
 */
function ticksOf(low, high, n) {
    const rough = (high - low || 1) / n,
        power = 10 ** Math.floor(Math.log10(rough)),
        step = power * /** @type {number} */ ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10),
        first = Math.floor(low / step);
    return Array.from({ length: Math.ceil(high / step) - first + 1 }, (_, i) => (first + i) * step);
}
