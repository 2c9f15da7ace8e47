// Runs before the first paint (a classic script on purpose), so that a dark page never flashes white.
// theme.js takes over from here.
(() => {
    let chosen = null;
    try {
        chosen = localStorage.getItem('nibble.theme');
    } catch {
        // Storage may be forbidden: the system's preference is then all there is.
    }
    const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();

// A module that does not load, or one that it imports, leaves nobody but this script to say so.
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
