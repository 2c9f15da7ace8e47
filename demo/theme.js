// Light and dark: the system's preference until the person chooses otherwise, kept in this browser.
import { recall, remember } from './store.js';

const system = matchMedia('(prefers-color-scheme: dark)');

/**
 * @param {HTMLElement} button
 * @param {() => void} onChange what must be drawn again in the new colours
 */
export function setUpTheme(button, onChange) {
    const root = document.documentElement;

    const apply = () => {
        const chosen = recall('theme', '');
        const dark = chosen ? chosen === 'dark' : system.matches;
        root.dataset.theme = dark ? 'dark' : 'light';
        button.setAttribute('aria-label', dark ? 'Switch to light colours' : 'Switch to dark colours');
        button.title = button.getAttribute('aria-label') ?? '';
        button.querySelector('use')?.setAttribute('href', dark ? '#i-sun' : '#i-moon');
        const paper = getComputedStyle(root).getPropertyValue('--paper').trim();
        document.querySelector('meta[name=theme-color]')?.setAttribute('content', paper);
        onChange();
    };

    button.addEventListener('click', () => {
        const next = root.dataset.theme === 'dark' ? 'light' : 'dark';
        // Back at what the system says: follow the system again from now on.
        remember('theme', (next === 'dark') === system.matches ? '' : next);
        apply();
    });
    system.addEventListener('change', apply);
    apply();
}
