// What web/react uses of React. Its own types are another package, which would be here for these lines alone.
declare module 'react' {
    export function useState<State>(
        initial: State | (() => State),
    ): [State, (next: State | ((state: State) => State)) => void];
    export function useRef<Value>(initial: Value): { current: Value };
    export function useEffect(effect: () => undefined | (() => void), dependencies?: readonly unknown[]): void;
}
