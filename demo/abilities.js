// What a model may do besides answering: think first, and call functions. Switches under the message box turn both on
// and off.
import { byId } from './dom.js';
import { recall, remember } from './store.js';
import { canThink } from './thought.js';
import { TOOLS } from './tools.js';

/** @param {string} id @param {string} name in the store @param {boolean} initial */
function createSwitch(id, name, initial) {
    /** @type {HTMLInputElement} */
    const box = byId(id);
    box.checked = recall(name, initial ? 'on' : 'off') === 'on';
    box.addEventListener('change', () => remember(name, box.checked ? 'on' : 'off'));
    return box;
}

export function createAbilities() {
    const think = createSwitch('think', 'think', true),
        tools = createSwitch('tools', 'tools', false);
    let thinks = false,
        chats = false;
    return {
        /** @param {import('../web/index.js').ModelInfo} info */
        show({ chatTemplate = '' }) {
            chats = chatTemplate !== '';
            thinks = canThink(chatTemplate);
            byId('think-switch').hidden = !thinks;
            byId('switches').hidden = !chats;
        },
        /**
         * The option of chat(). A thought may take half of the tokens, so that there is always an answer.
         * @param {number} maxTokens
         */
        thinking: (maxTokens) => (!thinks ? undefined : think.checked && { maxTokens: Math.ceil(maxTokens / 2) }),
        tools: () => (chats && tools.checked ? TOOLS : []),
    };
}
