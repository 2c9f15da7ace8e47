// What all plots share: the library, and axes in the page's colours.

/** @typedef {typeof import('uplot')} PlotClass */

/** The plot library, or null if it did not arrive: a page is worth having without its plots. */
export async function loadPlot() {
    try {
        const url = new URL('../build/uplot.js', import.meta.url).href;
        return /** @type {PlotClass} */ ((await import(url)).default);
    } catch {
        return null;
    }
}

/** A colour of style.css as it is now, light or dark. @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @returns {import('uplot').Axis} */
export const axis = () => ({
    stroke: colour('--soft'),
    font: '11px system-ui',
    ticks: { show: false },
    grid: { stroke: colour('--line'), width: 1 },
});
