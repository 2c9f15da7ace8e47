// A component that shows an answer while it comes. README.md says how to bundle it for react.html.
import { useNibble } from 'nibble-llm/react';
import { createRoot } from 'react-dom/client';

const url = new URLSearchParams(location.search).get('model') ?? '../demo/stories.gguf';

function Chat() {
    const { status, progress, text, result, error, chat, stop } = useNibble(new URL(url, location.href));
    const loaded = progress?.total ? `${Math.round((100 * progress.loaded) / progress.total)} %` : '';
    const ended = result && `${result.tokens.length} tokens, ended by ${result.finishReason}`;

    function ask(event) {
        event.preventDefault();
        chat(new FormData(event.target).get('question'), { maxTokens: 64 });
    }

    return (
        <form onSubmit={ask}>
            <input name="question" defaultValue="Who are you?" aria-label="Question" />
            <button type="submit" disabled={status !== 'ready'}>
                Ask
            </button>
            <button type="button" onClick={stop}>
                Stop
            </button>
            <p id="status" role="status">
                {error?.message ?? (status === 'loading' ? `loading ${loaded}` : (ended ?? status))}
            </p>
            <pre id="answer" style={{ whiteSpace: 'pre-wrap' }}>
                {text}
            </pre>
        </form>
    );
}

createRoot(document.getElementById('root')).render(<Chat />);
