/** Counts what the server does, in the text format of Prometheus. */

/** Upper limits of a histogram's classes, in seconds. */
const SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300];

/** A label's value, as the format has it. @param {unknown} text */
const escaped = (text) => String(text).replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));

/** @param {Record<string, unknown>} labels */
const labelled = (labels) =>
    `{${Object.entries(labels)
        .map(([name, value]) => `${name}="${escaped(value)}"`)
        .join(',')}}`;

/** Sums under their labels. */
class Sums {
    /** @type {Map<string, number>} */
    #sums = new Map();

    /** @param {Record<string, unknown>} labels @param {number} [value] */
    add(labels, value = 1) {
        const key = labelled(labels);
        this.#sums.set(key, (this.#sums.get(key) ?? 0) + value);
    }

    /** @param {string} name @param {string} help */
    lines(name, help) {
        return [
            `# HELP ${name} ${help}`,
            `# TYPE ${name} counter`,
            ...[...this.#sums].map(([labels, value]) => `${name}${labels} ${value}`),
        ];
    }
}

export class Metrics {
    #requests = new Sums();
    #prompt = new Sums();
    #answers = new Sums();
    #classes = SECONDS.map(() => 0);
    #count = 0;
    #seconds = 0;
    /** Connections that were closed at once. */
    dropped = 0;

    /**
     * @param {{ path: string, status: number, seconds: number, model?: string,
     *     usage: import('../openai/types.d.ts').Usage }} request path: one of few
     */
    add({ path, status, seconds, model, usage }) {
        this.#requests.add({ path, status });
        if (model === undefined) return;
        this.#prompt.add({ model }, usage.prompt_tokens);
        this.#answers.add({ model }, usage.completion_tokens);
        if (status !== 200) return; // a refusal takes no time, and would hide how long answers take
        this.#count++;
        this.#seconds += seconds;
        for (const [i, limit] of SECONDS.entries()) if (seconds <= limit) this.#classes[i]++;
    }

    /** @param {import('./models.js').Models['states']} states */
    text(states) {
        const gauge = (
            /** @type {string} */ name,
            /** @type {string} */ help,
            /** @type {(state: typeof states[0]) => number} */ of,
            kind = 'gauge',
        ) => [
            `# HELP ${name} ${help}`,
            `# TYPE ${name} ${kind}`,
            ...states.map((state) => `${name}${labelled({ model: state.name })} ${of(state)}`),
        ];
        const time = 'nibble_answer_seconds';
        return [
            ...this.#requests.lines('nibble_requests_total', 'Requests that are over.'),
            '# HELP nibble_connections_dropped_total Connections that were closed at once, as there were too many.',
            '# TYPE nibble_connections_dropped_total counter',
            `nibble_connections_dropped_total ${this.dropped}`,
            ...this.#prompt.lines('nibble_prompt_tokens_total', 'Tokens of prompts.'),
            ...this.#answers.lines('nibble_completion_tokens_total', 'Tokens of answers.'),
            `# HELP ${time} Time of requests that a model answered, with the time that they waited.`,
            `# TYPE ${time} histogram`,
            ...SECONDS.map((limit, i) => `${time}_bucket{le="${limit}"} ${this.#classes[i]}`),
            `${time}_bucket{le="+Inf"} ${this.#count}`,
            `${time}_sum ${this.#seconds}`,
            `${time}_count ${this.#count}`,
            ...gauge('nibble_requests_running', 'Requests that are being answered.', ({ running }) => running),
            ...gauge('nibble_requests_parallel', 'Requests that a model can answer together.', ({ places }) => places),
            ...gauge('nibble_requests_waiting', 'Requests that wait for their turn.', ({ waiting }) => waiting),
            ...gauge('nibble_model_bytes', 'Memory that a model takes; 0 if it is not loaded.', ({ bytes }) => bytes),
            ...gauge('nibble_model_loads_total', 'How often a model was loaded.', ({ loads }) => loads, 'counter'),
            '',
        ].join('\n');
    }
}
