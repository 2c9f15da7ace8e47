// Numbers for people. Sizes are decimal: 1 MB = 10^6 bytes.

/** @param {number} bytes */
export function formatBytes(bytes) {
    if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
    if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
    if (bytes >= 1e3) return `${(bytes / 1e3).toFixed(0)} kB`;
    return `${bytes} B`;
}

/** "12.0 of 98.4 MB": the unit stands once if both have the same. @param {number} part @param {number} whole */
export function formatPart(part, whole) {
    const [partNumber, partUnit] = formatBytes(part).split(' ');
    const [wholeNumber, wholeUnit] = formatBytes(whole).split(' ');
    return `${partNumber}${partUnit === wholeUnit ? '' : ` ${partUnit}`} of ${wholeNumber} ${wholeUnit}`;
}

/** null, 0 and numbers that are not finite are shown as –. @param {number | null} perSecond */
export function formatRate(perSecond) {
    if (!perSecond || !Number.isFinite(perSecond)) return '–';
    return perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1);
}

/** @param {number} seconds */
export function formatDuration(seconds) {
    if (!Number.isFinite(seconds)) return '–';
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 90)
        return `${seconds < 10 && !Number.isInteger(seconds) ? seconds.toFixed(1) : Math.round(seconds)} s`;
    return `${Math.round(seconds / 60)} min`;
}

/** With narrow no-break spaces between thousands. @param {number} n */
export function formatCount(n) {
    return n.toLocaleString('en').replaceAll(',', '\u202f');
}
