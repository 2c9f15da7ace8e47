// The text for the lab or the training page: a file, a pasted text, or the sample. The lab cuts it into two halves.
import { byId, setDisabled } from './dom.js';
import { acceptChoice } from './drop.js';
import { formatBytes, formatCount } from './format.js';

const MOST = 16e6; // bytes that are read of a file; a page would need days for more
const SAMPLE = new URL('./sample.txt', import.meta.url);

/** Whether a file is a text, by its name, and not a model. @param {File} file */
export const isText = ({ name }) => /\.(txt|md|text|raw)$/i.test(name);

/**
 * The two halves of the text, cut between words: the first calibrates, the second measures.
 * @param {string} text
 */
export function halves(text) {
    const middle = text.length >> 1;
    const line = text.indexOf('\n', middle);
    const at = line >= 0 && line < middle * 1.2 ? line : Math.max(middle, text.indexOf(' ', middle));
    return { calibration: text.slice(0, at), evaluation: text.slice(at) };
}

/** @param {File} file */
async function read(file) {
    const whole = file.size <= MOST;
    try {
        // stream: a character that is cut at the end is no error
        const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.slice(0, MOST).arrayBuffer(), {
            stream: !whole,
        });
        if (text.includes('\0')) throw new TypeError('a NUL');
        return { text, whole };
    } catch {
        return null;
    }
}

/** How the lab uses a text. */
const HALVES = 'The first half calibrates, the second half measures: no part of the text does both.';

/**
 * @param {() => void} onChange
 * @param {string} [use] a sentence that says how the text is used
 */
export function createTextView(onChange, use = HALVES) {
    /** @type {HTMLTextAreaElement} */
    const box = byId('text');
    const state = byId('text-state');
    /** @type {string | null} */
    let given = null;

    const show = (/** @type {string | null} */ now, /** @type {string} */ note, problem = false) => {
        given = now;
        if (state.textContent !== note) state.textContent = note; // a change is read aloud
        state.classList.toggle('wrong', problem);
        onChange();
    };
    const parts = (/** @type {string} */ text) => `${formatCount(text.length)} characters. ${use}`;

    const openFile = async (/** @type {File} */ file) => {
        const found = await read(file);
        if (!found)
            return show(null, `${file.name} cannot be read as a text. Give a file of plain text in UTF-8.`, true);
        box.value = '';
        const cut = found.whole ? '' : ` Its first ${formatBytes(MOST)} are taken.`;
        show(found.text, `${file.name}: ${parts(found.text)}${cut}`);
    };

    box.addEventListener('input', () => {
        const text = box.value;
        if (text.trim())
            show(text, `The text above. ${use}`); // always the same, as changes are read aloud
        else show(null, '');
    });
    acceptChoice(byId('text-file'), byId('pick-text'), ({ files: [file] }) => void openFile(file));
    byId('sample-text').addEventListener('click', async () => {
        try {
            const response = await fetch(SAMPLE);
            if (!response.ok) throw new Error(response.statusText);
            const text = await response.text();
            box.value = '';
            show(text, `The sample: ${parts(text)} A text so short gives rough figures.`);
        } catch {
            show(null, 'The sample could not be fetched. Paste a text, or choose a file.', true);
        }
    });

    return {
        openFile,
        given: () => given,
        /** @param {boolean} busy */
        setBusy(busy) {
            setDisabled(['text', 'pick-text', 'sample-text'], busy);
        },
    };
}
