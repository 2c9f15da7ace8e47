/** The plots of a comparison's page (page.js). tools/bundle.js makes one script of this and the plot library. */
import uPlot from '../../build/uplot.js';
import { isOfEmbeddings, lastPart } from './table.js';

/** @typedef {import('../index.d.ts').Comparison} Comparison */
/** @typedef {import('../index.d.ts').EmbeddingComparison} EmbeddingComparison */
/** @typedef {{ name: string, weights?: import('../index.d.ts').ComparedWeights }} Weighed */
/** @typedef {{ title: string, data: any, options: any }} Plot */

/** Points of a line at most: neighbours are averaged. */
const MOST_POINTS = 64;
/** The histograms reach from -RANGE to RANGE root mean squares, as compare() makes them. */
const RANGE = 4;
const PALETTE = 8;

/** @type {Comparison | EmbeddingComparison} */
const comparison = JSON.parse(document.getElementById('data')?.textContent ?? '');
const { models } = comparison;
/** What each model loses, and what that is. */
const [losses, LOSS] = isOfEmbeddings(comparison)
    ? [comparison.models.map(({ distance }) => distance.mean), 'Mean of 1 - cosine']
    : [comparison.models.map(({ divergence }) => divergence.mean), 'Mean KL divergence'];
/** Functions that draw each plot anew, when the width or the theme changes. @type {(() => void)[]} */
const drawings = [];

/** @param {string} name of a custom property of the page */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colourOf = (/** @type {number} */ i) => colour(`--c${i % PALETTE}`);

/** @param {number} value */
const number = (value) => (value === 0 ? '0' : Number(value.toPrecision(3)).toString());
const share = (/** @type {number} */ value) => `${number(value * 100)} %`;

/**
 * Labels of a logarithmic scale: at powers of ten only, unless there are fewer than two.
 * @param {any} _
 * @param {number[]} ticks
 */
const logTicks = (_, ticks) => {
    const powers = ticks.filter((tick) => Number.isInteger(Math.log10(tick) + 1e-9) || isPower(tick));
    return ticks.map((tick) => (powers.length < 2 || isPower(tick) ? number(tick) : null));
};
const isPower = (/** @type {number} */ tick) => Math.abs(Math.log10(tick) - Math.round(Math.log10(tick))) < 1e-9;

/** @param {string} label @param {(u: any, ticks: number[]) => any} [values] @param {number} [size] */
const axis = (label, values, size) => ({
    label,
    labelSize: 22,
    stroke: colour('--soft'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
    ...(values ? { values } : {}),
    ...(size ? { size } : {}),
});

/**
 * Puts a plot into its section, and keeps it as wide as that.
 * @param {string} id
 * @param {() => Plot} make
 */
function show(id, make) {
    const section = document.getElementById(id),
        place = /** @type {HTMLElement | null} */ (section?.querySelector('.plot') ?? null);
    if (!section || !place) return;
    section.hidden = false;
    /** @type {any} */
    let plot;
    const draw = () => {
        plot?.destroy();
        const { data, options } = make();
        const width = place.clientWidth;
        plot = new uPlot({ width, height: Math.max(260, Math.min(380, width * 0.55)), ...options }, data, place);
    };
    drawings.push(draw);
    draw();
}

/**
 * A choice above a plot.
 * @param {string} id
 * @param {string} label
 * @param {string[]} names
 * @param {() => void} changed
 * @returns {() => number} which is chosen
 */
function choice(id, label, names, changed) {
    const place = document.querySelector(`#${id} .choices`);
    const select = document.createElement('select'),
        text = document.createElement('label');
    for (const [i, name] of names.entries()) select.add(new Option(name, String(i)));
    text.append(`${label} `, select);
    if (names.length > 1) place?.append(text);
    select.addEventListener('change', changed);
    return () => Math.max(0, select.selectedIndex);
}

const redraw = (/** @type {number} */ i) => () => drawings[i]();

/** Names beside the points, where they fit. @param {any} u @param {{ x: number, y: number, name: string }[]} points */
function nameThem(u, points) {
    const { ctx } = u,
        scale = devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * scale}px sans-serif`;
    ctx.fillStyle = colour('--ink');
    ctx.textAlign = 'left';
    ctx.textBaseline = 'middle';
    const right = u.bbox.left + u.bbox.width;
    /** @type {[number, number, number][]} */
    const taken = [];
    for (const { x, y, name } of points) {
        const left = u.valToPos(x, 'x', true),
            width = ctx.measureText(name).width,
            before = left + 8 * scale + width > right;
        const from = before ? left - 8 * scale - width : left + 8 * scale;
        let at = u.valToPos(y, 'y', true);
        // below the names that are there
        const hit = () => taken.some(([a, b, c]) => from < b && from + width > a && Math.abs(c - at) < 13 * scale);
        for (let tries = 0; hit() && tries < 8; tries++) at += 13 * scale;
        if (hit() || from < u.bbox.left) continue;
        taken.push([from, from + width, at]);
        ctx.fillText(name, from, at);
    }
    ctx.restore();
}

/** Size in MB and what is lost; a point each. @returns {Plot} */
function sizePlot() {
    const points = models
        .map(({ name, bytes }, i) => ({ i, name: shortName(name), x: bytes / 1e6, y: losses[i] }))
        .filter(({ y }) => y > 0)
        .sort((a, b) => a.x - b.x);
    const series = points.map(({ i, name }) => ({
        label: name,
        stroke: colourOf(i),
        paths: () => null,
        points: { show: true, size: 9, fill: colourOf(i), stroke: colourOf(i) },
        value: (/** @type {any} */ _, /** @type {number | null} */ y) => (y === null ? '–' : number(y)),
    }));
    const xs = points.map(({ x }) => x),
        margin = Math.max((Math.max(...xs) - Math.min(...xs)) * 0.08, Math.max(...xs) * 0.02);
    return {
        title: 'size',
        data: [xs, ...points.map((_, i) => points.map(({ y }, k) => (k === i ? y : null)))],
        options: {
            scales: {
                x: { time: false, range: [Math.min(...xs) - margin, Math.max(...xs) + margin] },
                y: { distr: 3 },
            },
            axes: [axis('File, MB'), axis(LOSS, logTicks, 64)],
            series: [
                { label: 'MB', value: (/** @type {any} */ _, /** @type {number} */ x) => x?.toFixed(2) },
                ...series,
            ],
            legend: { show: false },
            hooks: { draw: [(/** @type {any} */ u) => nameThem(u, points)] },
        },
    };
}

/** @param {number[]} values means of neighbours, no more than MOST_POINTS */
function thinned(values) {
    const each = Math.ceil(values.length / MOST_POINTS);
    return Array.from({ length: Math.ceil(values.length / each) }, (_, i) => {
        const part = values.slice(i * each, (i + 1) * each);
        return part.reduce((a, b) => a + b, 0) / part.length;
    });
}

/** @param {Comparison} comparison @returns {Plot} */
function positionPlot({ firstPosition, models }) {
    const n = models[0].divergence.byPosition.length,
        each = Math.ceil(n / MOST_POINTS);
    const lines = models.map(({ divergence }) => thinned(divergence.byPosition).map((y) => (y > 0 ? y : null)));
    return {
        title: 'position',
        data: [lines[0].map((_, i) => firstPosition + i * each), ...lines],
        options: {
            scales: { x: { time: false }, y: { distr: 3 } },
            axes: [axis('Position of the token'), axis('KL divergence', logTicks, 64)],
            series: [
                { label: 'position' },
                ...models.map(({ name }, i) => ({
                    label: shortName(name),
                    stroke: colourOf(i),
                    width: 1.5,
                    points: { show: lines[i].length < 20 },
                    value: (/** @type {any} */ _, /** @type {number | null} */ y) => (y === null ? '–' : number(y)),
                })),
            ],
        },
    };
}

/** @param {Weighed} model @returns {Plot} */
function errorPlot({ weights }) {
    const matrices = weights?.matrices ?? [];
    const layers = [...new Set(matrices.flatMap(({ layer }) => (layer === null ? [] : [layer])))].sort((a, b) => a - b);
    const kinds = ofLayers.filter((kind) => matrices.some((m) => m.kind === kind && m.layer !== null));
    const line = (/** @type {string} */ kind) =>
        layers.map((layer) => matrices.find((m) => m.layer === layer && m.kind === kind)?.error ?? null);
    return {
        title: 'errors',
        data: [layers, ...kinds.map(line)],
        options: {
            scales: {
                x: { time: false },
                y: {
                    range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [
                        0,
                        most > 0 ? most * 1.08 : 1,
                    ],
                },
            },
            axes: [
                axis('Layer', (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(tick) : ''))),
                axis('Relative error', (_, ticks) => ticks.map(share), 64),
            ],
            series: [
                { label: 'layer' },
                ...kinds.map((kind) => ({
                    label: kind,
                    stroke: colourOf(ofLayers.indexOf(kind)),
                    width: 1.5,
                    points: { show: layers.length < 20 },
                    value: (/** @type {any} */ _, /** @type {number | null} */ y) => (y === null ? '–' : share(y)),
                })),
            ],
        },
    };
}

/** The plot is empty if the model's matrices of this kind have other shapes than the base's.
 * @param {Weighed} model @param {string} kind @returns {Plot} */
function histogramPlot({ weights }, kind) {
    const { before, after } = weights?.histograms.find((one) => one.kind === kind) ?? { before: [], after: [] };
    const n = before.length,
        total = before.reduce((a, b) => a + b, 0) || 1;
    const stepped = /** @type {any} */ (uPlot).paths.stepped({ align: 1 });
    const line = (/** @type {string} */ label, /** @type {string} */ stroke, /** @type {boolean} */ filled) => ({
        label,
        stroke,
        width: 1.5,
        paths: stepped,
        points: { show: false },
        ...(filled ? { fill: `color-mix(in srgb, ${stroke} 25%, transparent)` } : {}),
        value: (/** @type {any} */ _, /** @type {number | null} */ y) => (y === null ? '–' : share(y)),
    });
    return {
        title: 'histograms',
        data: [
            before.map((_, i) => ((i / n) * 2 - 1) * RANGE),
            before.map((count) => count / total),
            after.map((count) => count / total),
        ],
        options: {
            scales: { x: { time: false } },
            axes: [axis('Weight / root mean square'), axis('Share of weights', (_, ticks) => ticks.map(share), 64)],
            series: [{ label: 'weight' }, line('before', colourOf(0), true), line('after', colourOf(1), false)],
        },
    };
}

/** @param {string} name */
const shortName = (name) => lastPart(name).replace(/\.gguf$/i, '');

if (losses.some((loss) => loss > 0)) show('size', sizePlot);
if (!isOfEmbeddings(comparison)) show('position', () => positionPlot(comparison));
const weighed = /** @type {Weighed[]} */ (models).filter((model) => model.weights);
/** Kinds of matrices in layers, of all models: a kind has one colour, whatever a model lacks. */
const ofLayers = [
    ...new Set(
        weighed.flatMap(({ weights }) =>
            (weights?.matrices ?? []).flatMap(({ layer, kind }) => (layer === null ? [] : [kind])),
        ),
    ),
];
if (weighed.length > 0) {
    const chosenNames = weighed.map(({ name }) => shortName(name));
    const errorsOf = choice('errors', 'Model', chosenNames, redraw(drawings.length));
    show('errors', () => errorPlot(weighed[errorsOf()]));
    const again = redraw(drawings.length);
    const histogramsOf = choice('histograms', 'Model', chosenNames, again);
    // by name, as a model may lack some that the others have
    const kinds = [...new Set(weighed.flatMap(({ weights }) => weights?.histograms.map(({ kind }) => kind) ?? []))];
    const kindOf = choice('histograms', 'Tensors', kinds, again);
    show('histograms', () => histogramPlot(weighed[histogramsOf()], kinds[kindOf()]));
}

let width = innerWidth;
addEventListener('resize', () => {
    if (width !== innerWidth) for (const draw of drawings) draw();
    width = innerWidth;
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    for (const draw of drawings) draw();
});
