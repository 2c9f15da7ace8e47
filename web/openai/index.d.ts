import type { Model } from '../index.js';

/**
 * A `fetch` that answers OpenAI's HTTP calls by a loaded model, in this process or page: nothing is sent anywhere.
 * OpenAI's own client then works without a network:
 *
 *     import { load } from 'nibble-llm';
 *     import { openaiFetch } from 'nibble-llm/openai';
 *     import OpenAI from 'openai';
 *
 *     const fetch = openaiFetch(await load('model.gguf'));
 *     const client = new OpenAI({ apiKey: 'none', baseURL: 'http://localhost/v1', fetch });
 *
 * It answers POST /v1/chat/completions, /v1/completions and /v1/embeddings, POST /v1/rerank, which OpenAI does not
 * have (docs/serve.md), and GET /v1/models and /v1/models/NAME, whatever the host. A stream is sent as server-sent
 * events. Aborting the signal, or leaving the stream, ends the generation. Errors are OpenAI's error objects: status
 * 400 for what is wrong with a request, 404 for a path or model that is not there, and for a model that was disposed
 * of, 405 for a wrong method, 500 for what failed. `error.code` is the NibbleError's code, 'context_length_exceeded'
 * for NB_ERR_CONTEXT, 'model_not_found', or null.
 *
 * A single model answers whatever `model` a request names; the answer has the name that its file gives. Of several
 * models, under names of your own, the one answers that is named.
 */
export function openaiFetch(models: Model | { readonly [name: string]: Model }): Fetch;

/** The type of `fetch`, or if the types of your project lack it, a function that takes and gives anything. */
export type Fetch = typeof globalThis extends { fetch: infer Own } ? Own : (input: any, init?: any) => Promise<any>;
