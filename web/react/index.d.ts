import type {
    ChatOptions,
    GenerateOptions,
    LoadOptions,
    Message,
    Model,
    NibbleError,
    Progress,
    Result,
    RunnableTool,
    RunToolsOptions,
    Source,
    ToolCall,
    ToolRun,
} from '../index.js';

/**
 * A React hook: a model for as long as the component is mounted, and an answer that is shown while it comes.
 *
 *     const { status, progress, text, error, chat, stop } = useNibble('/model.gguf');
 *     return <button disabled={status !== 'ready'} onClick={() => chat('Who are you?')}>Ask</button>;
 *
 * Another source ends what is under way, and loads another model; without a source nothing is loaded. The options are
 * read when a load begins. On a server nothing is done: the status is 'loading', or 'idle' without a source.
 */
export function useNibble(source: Source | null | undefined, options?: UseNibbleOptions): Nibble;

/** load()'s options; leaving the component aborts. */
export type UseNibbleOptions = Omit<LoadOptions, 'signal'>;

export interface Nibble {
    /**
     * 'idle': there is no source. 'loading', then 'ready', or 'failed' with the `error`. 'answering': until an answer
     * ends or fails, then 'ready' again.
     */
    readonly status: 'idle' | 'loading' | 'ready' | 'failed' | 'answering';
    /** Of the load. */
    readonly progress: Progress | undefined;
    /** The model, once it is loaded, for all that the hook does not do. The hook disposes of it. */
    readonly model: Model | undefined;
    /** The answer so far, without what the model thought and without its calls. Of runTools() it is the last answer. */
    readonly text: string;
    /** What the model has thought so far, before that answer. */
    readonly reasoning: string;
    /** The calls of functions so far. Of runTools() they are those of all answers. New calls make it a new list. */
    readonly toolCalls: readonly ToolCall[];
    /** Of the last answer, once it has ended. `messages`, the whole conversation, is there after runTools(). */
    readonly result: (Result & Partial<Pick<ToolRun, 'messages'>>) | undefined;
    /** Why the load or the last request failed. */
    readonly error: NibbleError | undefined;
    /**
     * As the model's complete(). The answer goes into `text`; an answer that is under way is stopped. The promise never
     * rejects: it gives undefined after an error, which is in `error`. The functions are the same for every render.
     */
    complete(prompt: string | ArrayLike<number>, options?: GenerateOptions): Promise<Result | undefined>;
    /** As the model's chat(), and as complete() here. */
    chat(messages: string | readonly Message[], options?: ChatOptions): Promise<Result | undefined>;
    /** As the model's runTools(): runs the functions that the model calls, until an answer has no more calls. */
    runTools(
        messages: string | readonly Message[],
        tools: readonly RunnableTool[],
        options?: RunToolsOptions,
    ): Promise<ToolRun | undefined>;
    /**
     * Ends the answer that is under way, and keeps what there is. If functions of runTools() are running, it waits for
     * them no longer: their signal is aborted, and the promise of runTools() gives undefined.
     */
    stop(): void;
}
