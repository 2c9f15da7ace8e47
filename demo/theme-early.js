// Sets the theme before the first paint, so that a dark page does not flash white. For this it must be a classic
// script, not a module. theme.js does the rest.
(() => {
    let chosen = null;
    try {
        chosen = localStorage.getItem('nibble.theme');
    } catch {
        // storage is forbidden: follow the system's preference
    }
    const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();

// If a module, or one that it imports, does not load, only this script can say so.
addEventListener(
    'error',
    ({ target }) => {
        if (!(target instanceof HTMLScriptElement)) return;
        const say = (/** @type {string} */ id, /** @type {string} */ text) => {
            const element = document.getElementById(id);
            if (element) [element.textContent, element.hidden] = [text, false];
        };
        const remedy = 'A script did not load. Reload the page; in a checkout, run make demo.';
        say('load-title', 'This page is not complete');
        say('load-text', remedy);
        say('problem', remedy);
        const load = document.getElementById('load');
        if (load) load.dataset.state = 'failed';
    },
    true,
);
