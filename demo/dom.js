// DOM helpers. Text always enters the page as text nodes, never as markup.

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
    const element = document.getElementById(id);
    if (!element) throw new Error(`the page has no element #${id}`);
    return /** @type {T} */ (element);
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {string} name a symbol of the page's sprite, without its "i-"
 * @param {string} [className]
 */
export function icon(name, className = 'icon') {
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('class', className);
    svg.setAttribute('aria-hidden', 'true');
    const use = document.createElementNS(SVG, 'use');
    use.setAttribute('href', `#i-${name}`);
    svg.append(use);
    return svg;
}

/**
 * @param {string} label
 * @param {string} symbol
 * @param {() => void} onClick
 */
export function iconButton(label, symbol, onClick) {
    const button = make(
        'button',
        { type: 'button', class: 'icon-button', 'aria-label': label, title: label },
        icon(symbol),
    );
    button.addEventListener('click', onClick);
    return button;
}

/** @param {string[]} ids of buttons and fields @param {boolean} disabled */
export function setDisabled(ids, disabled) {
    for (const id of ids) {
        /** @type {HTMLButtonElement} */
        const element = byId(id);
        element.disabled = disabled;
    }
}

/** Fills a definition list. @param {HTMLElement} list @param {[string, string][]} rows */
export function fillFacts(list, rows) {
    list.replaceChildren(
        ...rows.map(([term, value]) => make('div', {}, make('dt', {}, term), make('dd', { dir: 'auto' }, value))),
    );
}

/** Lets screen readers read a text when they are idle. @param {string} text */
export function announce(text) {
    const announcer = byId('announcer');
    // Clear it first: without a change the same text would not be read again.
    announcer.textContent = '';
    requestAnimationFrame(() => {
        announcer.textContent = text;
    });
}
