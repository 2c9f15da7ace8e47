// The light and the dark theme: the system's preference, unless the user chooses otherwise. The choice is stored.
import { recall, remember } from './store.js';

const system = matchMedia('(prefers-color-scheme: dark)');

/**
 * @param {HTMLElement} button
 * @param {() => void} onChange called to draw plots again in the new colours
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
        // if the choice equals the system's preference, follow the system from now on
        remember('theme', (next === 'dark') === system.matches ? '' : next);
        apply();
    });
    system.addEventListener('change', apply);
    apply();
}
