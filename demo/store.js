// localStorage, if it is allowed. A private window may forbid it; then settings last until the page is closed.

const PREFIX = 'nibble.';

/**
 * @param {string} key
 * @param {string} fallback
 */
export function recall(key, fallback) {
    try {
        return localStorage.getItem(PREFIX + key) ?? fallback;
    } catch {
        return fallback;
    }
}

/**
 * @param {string} key
 * @param {string} value '' forgets the key
 */
export function remember(key, value) {
    try {
        if (value === '') localStorage.removeItem(PREFIX + key);
        else localStorage.setItem(PREFIX + key, value);
    } catch {
        // not stored
    }
}
