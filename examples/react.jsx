// A component that shows an answer while it comes. README.md says how to bundle it for react.html.
import { load } from 'nibble-llm';
import { useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';

const url = new URLSearchParams(location.search).get('model') ?? '../demo/stories.gguf';

/** A model for as long as the component is mounted; undefined until it is loaded. */
function useModel(source) {
    const [state, setState] = useState({});
    useEffect(() => {
        const leaving = new AbortController();
        const loading = load(source, { signal: leaving.signal });
        loading.then(
            (model) => setState({ model }),
            (error) => leaving.signal.aborted || setState({ error }),
        );
        return () => {
            leaving.abort(); // ends a load that is under way
            loading.then((model) => model.dispose()).catch(() => {});
        };
    }, [source]);
    return state;
}

function Chat() {
    const { model, error } = useModel(new URL(url, location.href).href);
    const [answer, setAnswer] = useState('');
    const [status, setStatus] = useState('');
    const [isBusy, setBusy] = useState(false);
    const generation = useRef(undefined);

    async function ask(event) {
        event.preventDefault();
        const question = new FormData(event.target).get('question');
        setAnswer('');
        setStatus('answering');
        setBusy(true);
        try {
            generation.current = model.chat(question, { maxTokens: 64 });
            for await (const text of generation.current) setAnswer((before) => before + text);
            const { tokens, finishReason } = await generation.current;
            setStatus(`${tokens.length} tokens, ended by ${finishReason}`);
        } catch (problem) {
            setStatus(problem.message); // such as a question that is too long
        }
        setBusy(false);
    }

    return (
        <form onSubmit={ask}>
            <input name="question" defaultValue="Who are you?" aria-label="Question" />
            <button type="submit" disabled={!model || isBusy}>
                Ask
            </button>
            <button type="button" onClick={() => generation.current?.stop()}>
                Stop
            </button>
            <p id="status" role="status">
                {error?.message ?? (model ? status || 'ready' : 'loading')}
            </p>
            <pre id="answer" style={{ whiteSpace: 'pre-wrap' }}>
                {answer}
            </pre>
        </form>
    );
}

createRoot(document.getElementById('root')).render(<Chat />);
