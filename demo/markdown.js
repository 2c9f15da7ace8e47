// The Markdown that small models write (paragraphs, headings, lists, code, quotes, bold, italic), as DOM nodes.
// Everything becomes elements of this file's choosing and text nodes: a model's output can never become markup, and
// links stay text, because nobody has read where they lead.
import { make } from './dom.js';

/** @typedef {{ kind: 'p' | 'code' | 'ul' | 'ol' | 'h' | 'quote', lines: string[], level: number }} Block */

const FENCE = /^\s*(```|~~~)/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const BULLET = /^\s*[-*+]\s+(.*)$/;
const NUMBERED = /^\s*(\d{1,9})[.)]\s+(.*)$/;
const QUOTE = /^\s*>\s?(.*)$/;

/**
 * @param {string} text possibly cut in the middle of anything, while it streams
 * @returns {Block[]}
 */
export function parseBlocks(text) {
    /** @type {Block[]} */
    const blocks = [];
    /** @type {Block | null} the block that the next line may continue */
    let open = null;
    const start = (/** @type {Block['kind']} */ kind, /** @type {string[]} */ lines, level = 0) => {
        open = { kind, lines, level };
        blocks.push(open);
    };
    const extend = (/** @type {Block['kind']} */ kind, /** @type {string} */ line, level = 0) => {
        if (open?.kind === kind) open.lines.push(line);
        else start(kind, [line], level);
    };

    let fence = '';
    for (const line of text.split('\n')) {
        const mark = FENCE.exec(line)?.[1];
        if (fence) {
            if (mark === fence) [fence, open] = ['', null];
            else /** @type {Block} */ (/** @type {unknown} */ (open)).lines.push(line);
            continue;
        }
        if (mark) {
            fence = mark;
            start('code', []);
            continue;
        }
        const heading = HEADING.exec(line);
        const numbered = NUMBERED.exec(line);
        const bullet = BULLET.exec(line);
        const quote = QUOTE.exec(line);
        if (heading) {
            start('h', [heading[2]], heading[1].length);
            open = null;
        } else if (bullet) extend('ul', bullet[1]);
        else if (numbered) extend('ol', numbered[2], Number(numbered[1]));
        else if (quote) extend('quote', quote[1]);
        else if (line.trim() === '') {
            // Models often leave an empty line between items: the list goes on if another item follows.
            if (/** @type {Block | null} */ (open)?.kind === 'p' || /** @type {Block | null} */ (open)?.kind === 'quote') open = null;
        } else if (/^\s{2,}\S/.test(line) && /** @type {Block | null} */ (open)?.lines.length) {
            const last = /** @type {Block} */ (/** @type {unknown} */ (open)).lines;
            last[last.length - 1] += `\n${line.trim()}`;
        } else extend('p', line);
    }
    return blocks;
}

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
function inline(text) {
    /** @type {(Node | string)[]} */
    const nodes = [];
    const pattern = /`([^`\n]+)`|\*\*(?=\S)(.+?\S|\S)\*\*|\*(?=[^\s*])([^*\n]*[^\s*])\*/gs;
    let at = 0;
    for (const match of text.matchAll(pattern)) {
        nodes.push(text.slice(at, match.index));
        if (match[1] !== undefined) nodes.push(make('code', {}, match[1]));
        else if (match[2] !== undefined) nodes.push(make('strong', {}, ...inline(match[2])));
        else nodes.push(make('em', {}, ...inline(match[3])));
        at = match.index + match[0].length;
    }
    nodes.push(text.slice(at));
    return nodes.filter(node => node !== '');
}

/** Lines of a paragraph, kept apart. @param {string[]} lines */
function paragraph(lines) {
    return lines.flatMap((line, i) => (i === 0 ? inline(line) : [make('br'), ...inline(line)]));
}

/** @param {Block} block */
function build(block) {
    const items = () => block.lines.map(line => make('li', {}, ...paragraph(line.split('\n'))));
    switch (block.kind) {
        case 'code': return make('pre', { tabindex: '0' }, make('code', {}, block.lines.join('\n')));
        case 'ul': return make('ul', {}, ...items());
        case 'ol': return make('ol', { start: String(block.level) }, ...items());
        // The page's own headings are levels 1 to 3 already.
        case 'h': return make(block.level <= 2 ? 'h3' : 'h4', {}, ...inline(block.lines[0]));
        case 'quote': return make('blockquote', {}, ...paragraph(block.lines));
        default: return make('p', {}, ...paragraph(block.lines));
    }
}

/** @type {WeakMap<HTMLElement, string[]>} what each child was made from */
const drawn = new WeakMap();

/**
 * Draws the text into the element; blocks that did not change since the last call keep their nodes, so that a growing
 * answer costs its last block only, and a selection in the text above survives.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function renderMarkdown(element, text) {
    const blocks = parseBlocks(text);
    const keys = blocks.map(block => JSON.stringify(block));
    const before = drawn.get(element) ?? [];
    for (let i = 0; i < blocks.length; i++) {
        if (keys[i] === before[i]) continue;
        const child = element.children[i];
        if (child) child.replaceWith(build(blocks[i]));
        else element.append(build(blocks[i]));
    }
    while (element.children.length > blocks.length) element.lastElementChild?.remove();
    drawn.set(element, keys);
}
