// Renders the Markdown that small models write (paragraphs, headings, lists, code, quotes, bold, italic) as DOM nodes.
// It makes only elements that this file names, and text nodes, so a model's output can never become markup. Links stay
// text, because nobody has checked where they lead.
import { make } from './dom.js';

/**
 * level: of a heading, 1 for the outermost; of a numbered list, its first number.
 * @typedef {{ kind: 'p' | 'code' | 'ul' | 'ol' | 'h' | 'quote', lines: string[], level: number }} Block
 */

const FENCE = /^\s*(```|~~~)/;
// With the flag s, ".*" also matches line ends other than "\n". Without it the match could fail at one, and be tried
// again from every space before, which takes quadratic time.
const HEADING = /^(#{1,6})\s+(.*)$/s;
const BULLET = /^\s*[-*+]\s+(.*)$/s;
const NUMBERED = /^\s*(\d{1,9})[.)]\s+(.*)$/s;
const QUOTE = /^\s*>\s?(.*)$/s;

/**
 * @param {string} text while it streams, it may end anywhere
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
    /** @type {number[]} the levels of the headings that enclose the current place */
    const above = [];
    for (const line of text.split('\n')) {
        const mark = FENCE.exec(line)?.[1];
        if (fence) {
            if (mark === fence) [fence, open] = ['', null];
            else blocks[blocks.length - 1].lines.push(line);
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
            const marks = heading[1].length;
            while (above.length > 0 && above[above.length - 1] >= marks) above.pop();
            above.push(marks);
            start('h', [heading[2]], above.length);
            open = null;
        } else if (bullet) extend('ul', bullet[1]);
        else if (numbered) extend('ol', numbered[2], Number(numbered[1]));
        else if (quote) extend('quote', quote[1]);
        else if (line.trim() === '') {
            // Models often leave an empty line between items, so a list goes on after it.
            if (
                /** @type {Block | null} */ (open)?.kind === 'p' ||
                /** @type {Block | null} */ (open)?.kind === 'quote'
            )
                open = null;
        } else if (/^\s{2,}\S/.test(line) && /** @type {Block | null} */ (open)?.lines.length) {
            const { kind, lines } = blocks[blocks.length - 1];
            if (kind === 'ul' || kind === 'ol') lines[lines.length - 1] += `\n${line.trim()}`;
            else lines.push(line.trim());
        } else extend('p', line);
    }
    return blocks;
}

/**
 * A part of a text: plain text, code, or text within marks.
 * @typedef {string | { tag: 'code' | 'strong' | 'em', inner: Span[] }} Span
 */

const isSpace = (/** @type {string | undefined} */ character) => character === undefined || /\s/.test(character);

/**
 * Parses the marks of a text in linear time: a mark that is never closed must not cause a search to the end of the
 * text for each such mark.
 * @param {string} text
 * @returns {Span[]}
 */
export function parseInline(text) {
    /** @type {Span[]} */
    const spans = [];
    const closers = strongClosers(text);
    let plain = 0; // the beginning of the text that is in no span yet
    const add = (
        /** @type {'code' | 'strong' | 'em'} */ tag,
        /** @type {number} */ at,
        /** @type {number} */ end,
        mark = 1,
    ) => {
        if (at > plain) spans.push(text.slice(plain, at));
        const inner = text.slice(at + mark, end);
        spans.push({ tag, inner: tag === 'code' ? [inner] : parseInline(inner) });
        plain = end + mark;
        return plain;
    };
    for (let at = 0; at < text.length; ) {
        const character = text[at],
            strongEnd = closers[at];
        if (character !== '`' && character !== '*') at++;
        else if (character === '*' && text[at + 1] === '*' && !isSpace(text[at + 2]) && strongEnd > 0)
            at = add('strong', at, strongEnd, 2);
        else {
            // it is closed by the next mark of its kind, on the same line
            const end = text.indexOf(character, at + 1),
                inner = end > at + 1 ? text.slice(at + 1, end) : '\n'; // which never fits
            const fits = !inner.includes('\n') && (character === '`' || !(isSpace(inner[0]) || isSpace(inner.at(-1))));
            at = fits ? add(character === '`' ? 'code' : 'em', at, end) : at + 1;
        }
    }
    if (plain < text.length) spans.push(text.slice(plain));
    return spans;
}

/** For each place where "**" may open strong text: the place of the "**" that closes it, or 0. That is the next "**"
 * after a character that is not a space, with something between. @param {string} text */
function strongClosers(text) {
    const closers = new Int32Array(text.includes('**') ? text.length : 0);
    let next = 0; // the first closing mark at or after at + 3
    for (let at = closers.length - 5; at >= 0; at--) {
        if (text[at + 3] === '*' && text[at + 4] === '*' && !isSpace(text[at + 2])) next = at + 3;
        closers[at] = next;
    }
    return closers;
}

/** @param {string} text @returns {(Node | string)[]} */
const inline = (text) => parseInline(text).map(toNode);

/** @param {Span} span @returns {Node | string} */
const toNode = (span) => (typeof span === 'string' ? span : make(span.tag, {}, ...span.inner.map(toNode)));

/** The lines of a paragraph, with a <br> between them. @param {string[]} lines */
function paragraph(lines) {
    return lines.flatMap((line, i) => (i === 0 ? inline(line) : [make('br'), ...inline(line)]));
}

/** @param {Block} block */
function build(block) {
    const items = () => block.lines.map((line) => make('li', {}, ...paragraph(line.split('\n'))));
    switch (block.kind) {
        case 'code':
            return make('pre', { tabindex: '0' }, make('code', {}, block.lines.join('\n')));
        case 'ul':
            return make('ul', {}, ...items());
        case 'ol':
            return make('ol', { start: String(block.level) }, ...items());
        // the page's own headings have levels 1 and 2, and no level may be skipped
        case 'h':
            return make(/** @type {'h3'} */ (`h${Math.min(2 + block.level, 6)}`), {}, ...inline(block.lines[0]));
        case 'quote':
            return make('blockquote', {}, ...paragraph(block.lines));
        default:
            return make('p', {}, ...paragraph(block.lines));
    }
}

/** @type {WeakMap<HTMLElement, string[]>} the blocks that each element shows, as JSON */
const drawn = new WeakMap();

/**
 * Draws the text into the element. Blocks that have not changed since the last call keep their nodes, so that only the
 * last block of a growing answer is drawn again, and selections in the text above stay.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function renderMarkdown(element, text) {
    const blocks = parseBlocks(text);
    const keys = blocks.map((block) => JSON.stringify(block));
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
