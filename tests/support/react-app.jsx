// What tests/page/react.test.js drives: components that tell what useNibble() gives them.
import { useNibble } from 'nibble-llm/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { forced } from './saying.js';

globalThis.forced = forced;
/** What each render was given. */
globalThis.renders = [];

function Probe({ source }) {
    globalThis.nibble = useNibble(source, { threads: 1 });
    globalThis.renders.push(globalThis.nibble);
    return <p>{globalThis.nibble.status}</p>;
}

const root = createRoot(document.body.appendChild(document.createElement('div')));
let mounted = 0;
const render = (source) =>
    root.render(
        <StrictMode>
            <Probe source={source} key={mounted} />
        </StrictMode>,
    );
/** A new component. */
globalThis.mount = (source) => {
    mounted++;
    render(source);
};
/** Another source for the component that is there. */
globalThis.change = render;
globalThis.unmount = () => root.render(null);

/** Waits until what was set is rendered, and the last render is as wanted. */
globalThis.until = async (wanted) => {
    for (let tries = 0; tries < 1000; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        if (wanted(globalThis.nibble)) return globalThis.nibble;
    }
    throw new Error(`it stayed ${JSON.stringify(globalThis.nibble)}`);
};
