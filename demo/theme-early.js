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
