// Plots of size against quality, and of size against speed, with a point for each file. The table has the same figures.
import { byId, make } from './dom.js';
import { axis, colour, loadPlot } from './plot.js';

const HEIGHT = 280;
const POINT = 9; // pixels across
const FONT = 'system-ui';

/** @typedef {import('../web/index.js').ComparedSize} ComparedSize */
/** What compare() or compareEmbeddings() say of a file.
 * @typedef {ComparedSize & Partial<Omit<import('../web/index.js').ComparedModel, keyof ComparedSize>> &
 *     Partial<Omit<import('../web/index.js').EmbeddedModel, keyof ComparedSize>>} Figures */
/** A file in the plots. base: it is the original. @typedef {{ name: string, figures: Figures, base: boolean }} Point */
/** A value with its standard error. @typedef {{ value: number, error: number }} Reading */

/** A quantity to plot. from0: its axis begins at 0. @typedef {{ label: string, from0?: boolean,
 *     read: (point: Point) => Reading | null | undefined }} Quantity */

/** Measures of quality. If one compares a file with the original, the original has the best possible value itself.
 * @type {Record<string, Quantity>} */
const QUALITIES = {
    divergence: {
        label: 'KL divergence from the original, nats',
        from0: true,
        read: ({ base, figures: { divergence } }) =>
            base ? { value: 0, error: 0 } : divergence && { value: divergence.mean, error: divergence.standardError },
    },
    perplexity: {
        label: 'perplexity',
        read: ({ figures: { perplexity: value, standardError: error = 0 } }) =>
            value === undefined ? null : { value, error },
    },
    sameTop: {
        label: 'same likeliest token, %',
        read: ({ base, figures: { sameTop } }) =>
            base
                ? { value: 100, error: 0 }
                : sameTop && { value: 100 * sameTop.mean, error: 100 * sameTop.standardError },
    },
};
/** Measures of quality for models that embed texts. @type {Record<string, Quantity>} */
const EMBEDDING_QUALITIES = {
    distance: {
        label: 'mean of 1 − cosine',
        from0: true,
        read: ({ base, figures: { distance } }) =>
            base ? { value: 0, error: 0 } : distance && { value: distance.mean, error: distance.standardError },
    },
    largest: {
        label: '1 − least cosine',
        from0: true,
        read: ({ base, figures: { distance } }) =>
            base ? { value: 0, error: 0 } : distance && { value: distance.largest, error: 0 },
    },
    rank: {
        label: 'rank correlation',
        read: ({ base, figures: { rankCorrelation: value } }) =>
            base ? { value: 1, error: 0 } : typeof value === 'number' ? { value, error: 0 } : null,
    },
};
/** @type {Quantity} */
const SPEED = {
    label: 'tokens per second',
    from0: true,
    read: ({ figures: { generateTokensPerSecond, tokensPerSecond } }) => {
        const value = generateTokensPerSecond ?? tokensPerSecond;
        return value ? { value, error: 0 } : null;
    },
};

export function createPlots() {
    const library = loadPlot();
    /** @type {HTMLSelectElement} */
    const quality = byId('quality');
    const boxes = { quality: byId('plot-quality'), speed: byId('plot-speed') };
    /** @type {Map<HTMLElement, import('uplot')>} */
    const plots = new Map();
    /** @type {Point[]} */
    let points = [];
    /** @type {typeof QUALITIES | null} */
    let qualities = null;

    /** @param {typeof QUALITIES} given */
    const offer = (given) => {
        if (qualities === given) return;
        qualities = given;
        quality.replaceChildren(...Object.entries(given).map(([value, { label }]) => make('option', { value }, label)));
    };
    offer(QUALITIES);

    /** @param {HTMLElement} box @param {Quantity} what */
    async function build(box, { label, from0, read }) {
        const Plot = await library;
        plots.get(box)?.destroy();
        plots.delete(box);
        const shown = points
            .map((point) => ({ ...point, x: point.figures.bytes / 1e6, reading: read(point) ?? null }))
            .filter(({ reading }) => reading)
            .sort((a, b) => a.x - b.x);
        const text = shown.map(
            ({ name, x, reading }) => `${name}: ${reading?.value.toPrecision(4)} at ${x.toFixed(1)} MB`,
        );
        box.setAttribute('aria-label', `Size against ${label}. ${text.join('; ')}`);
        if (!Plot || shown.length === 0 || box.clientWidth === 0)
            return box.replaceChildren(
                make(
                    'div',
                    { class: 'plot-empty' },
                    Plot ? 'Nothing is measured yet' : 'The plot library did not load',
                ),
            );
        box.replaceChildren();
        plots.set(box, new Plot(optionsOf(box.clientWidth, from0 ?? false, shown), dataOf(shown), box));
    }

    const draw = () => {
        if (qualities) build(boxes.quality, qualities[quality.value]);
        build(boxes.speed, SPEED);
    };
    quality.addEventListener('change', draw);
    new ResizeObserver(draw).observe(byId('plots'));

    return {
        restyle: draw,
        /** @param {Point[]} now @param {boolean} embeds whether the model embeds texts */
        show(now, embeds) {
            points = now;
            offer(embeds ? EMBEDDING_QUALITIES : QUALITIES);
            draw();
        },
    };
}

/** @typedef {Point & { x: number, reading: Reading | null }} Shown */

/** @param {Shown[]} shown @returns {import('uplot').AlignedData} */
const dataOf = (shown) => [shown.map(({ x }) => x), shown.map(({ reading }) => reading?.value ?? null)];

/**
 * @param {number} width
 * @param {boolean} from0
 * @param {Shown[]} shown
 * @returns {import('uplot').Options}
 */
function optionsOf(width, from0, shown) {
    const ends = shown.flatMap(({ reading }) =>
        reading ? [reading.value - reading.error, reading.value + reading.error] : [],
    );
    return {
        width,
        height: HEIGHT,
        padding: [14, 8, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: {
            x: {
                time: false,
                range: () =>
                    padded(
                        shown.map(({ x }) => x),
                        0.2,
                    ),
            },
            y: { range: () => (from0 ? [0, padded(ends, 0.12)[1]] : padded(ends, 0.12)) },
        },
        axes: [
            {
                ...axis(),
                size: 40,
                space: 60,
                values: shortly,
                label: 'Size, MB',
                labelSize: 18,
                labelFont: `11px ${FONT}`,
            },
            { ...axis(), size: 48, space: 36, values: shortly },
        ],
        series: [{}, { paths: () => null, points: { show: false } }],
        hooks: { draw: [(plot) => drawPoints(plot, shown)] },
    };
}

/** @param {import('uplot')} _ @param {number[]} ticks */
const shortly = (_, ticks) => ticks.map((tick) => String(Number(tick.toPrecision(4))));

/** The range of the values, with some room on each side. @param {number[]} values
 * @param {number} share the room, relative to the range @returns {[number, number]} */
function padded(values, share) {
    const least = Math.min(...values),
        most = Math.max(...values),
        room = (most - least) * share || Math.abs(most) * share || 1;
    return [least >= 0 ? Math.max(0, least - room) : least - room, most + room];
}

/** Draws points with their errors and names. @param {import('uplot')} plot @param {Shown[]} shown */
function drawPoints(plot, shown) {
    const { ctx, bbox } = plot,
        scale = devicePixelRatio,
        line = 13 * scale;
    /** Places that points and names occupy. @type {{ left: number, right: number, y: number }[]} */
    const occupied = shown.map(({ x, reading }) => {
        const at = plot.valToPos(x, 'x', true);
        return { left: at - line / 2, right: at + line / 2, y: plot.valToPos(reading?.value ?? 0, 'y', true) };
    });
    ctx.save();
    ctx.font = `${11 * scale}px ${FONT}`;
    [ctx.textAlign, ctx.textBaseline] = ['left', 'middle'];
    for (const { name, base, x, reading } of shown) {
        if (!reading) continue;
        const { value, error } = reading;
        const at = plot.valToPos(x, 'x', true),
            height = (/** @type {number} */ y) => plot.valToPos(y, 'y', true);
        ctx.strokeStyle = ctx.fillStyle = colour(base ? '--soft' : '--mark');
        ctx.lineWidth = 1.5 * scale;
        ctx.beginPath();
        ctx.moveTo(at, height(value - error));
        ctx.lineTo(at, height(value + error));
        ctx.stroke();
        ctx.beginPath();
        ctx.arc(at, height(value), (POINT / 2) * scale, 0, 2 * Math.PI);
        ctx.fill();
        // The name goes to the side with more room. It moves up until it overlaps no point and no other name.
        const wide = ctx.measureText(name).width,
            left = at > bbox.left + bbox.width / 2 ? at - wide - 8 * scale : at + 8 * scale;
        const place = { left, right: left + wide, y: height(value) - line / 2 };
        const overlaps = () =>
            occupied.some(
                ({ left, right, y }) => left < place.right && place.left < right && Math.abs(y - place.y) < line,
            );
        while (overlaps()) place.y -= line / 2;
        occupied.push(place);
        ctx.fillStyle = colour('--ink');
        ctx.fillText(name, left, place.y);
    }
    ctx.restore();
}
