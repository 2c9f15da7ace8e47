// What all plots share: loading the library, and axes in the page's colours.

/** @typedef {typeof import('uplot')} PlotClass */

/** The plot library; null if it cannot be loaded, as the page is useful without plots, too. */
export async function loadPlot() {
    try {
        const url = new URL('../build/uplot.js', import.meta.url).href;
        return /** @type {PlotClass} */ ((await import(url)).default);
    } catch {
        return null;
    }
}

/** A colour of style.css, for the current theme. @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @returns {import('uplot').Axis} */
export const axis = () => ({
    stroke: colour('--soft'),
    font: '11px system-ui',
    ticks: { show: false },
    grid: { stroke: colour('--line'), width: 1 },
});
