// The panel of settings and speed: a column beside the chat on a wide screen, a sheet over it on a narrow one.
import { byId } from './dom.js';
import { recall, remember } from './store.js';

export function setUpPanel() {
    const panel = byId('panel');
    const toggle = byId('panel-toggle');
    const backdrop = byId('backdrop');
    const behind = [byId('main'), byId('bar')];
    const wide = matchMedia('(width >= 62.5rem)'); // as in style.css
    let open = wide.matches && recall('panel', 'open') === 'open';

    const apply = () => {
        const sheet = open && !wide.matches;
        panel.classList.toggle('closed', !open);
        toggle.setAttribute('aria-expanded', String(open));
        backdrop.hidden = !sheet;
        // A sheet is modal, so the rest of the page must not be reachable.
        for (const element of behind) element.inert = sheet;
        if (sheet) {
            panel.setAttribute('role', 'dialog');
            panel.setAttribute('aria-modal', 'true');
        } else {
            panel.removeAttribute('role');
            panel.removeAttribute('aria-modal');
        }
    };
    const set = (/** @type {boolean} */ value) => {
        open = value;
        if (wide.matches) remember('panel', open ? '' : 'closed');
        apply();
        if (wide.matches) return;
        if (open) byId('panel-close').focus();
        else toggle.focus();
    };

    toggle.addEventListener('click', () => set(!open));
    byId('panel-close').addEventListener('click', () => set(false));
    backdrop.addEventListener('click', () => set(false));
    addEventListener(
        'keydown',
        (event) => {
            if (event.key !== 'Escape' || !open || wide.matches) return;
            event.stopImmediatePropagation(); // this Escape closes the sheet, and must not stop the answer, too
            set(false);
        },
        { capture: true },
    );
    wide.addEventListener('change', () => {
        open = wide.matches && recall('panel', 'open') === 'open';
        apply();
    });
    apply();
}
