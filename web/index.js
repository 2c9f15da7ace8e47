/**
 * nibble's API: functions that load a model, compare, quantize and train models. This code runs where it is imported,
 * on a page's main thread or in Node. Everything is computed in workers (worker/engine-worker.js), to which it sends
 * requests. index.d.ts has the types, and says what each function does.
 */
import { checkAdapterSources } from './api/adapters.js';
import { openModel } from './api/loading.js';
import { Model } from './api/model.js';
import { NibbleError } from './errors.js';

export { compare } from './api/compare.js';
export { compareEmbeddings } from './api/compare-embeddings.js';
export { quantize, quantizeFolder } from './api/quantize.js';
export { train, tune } from './api/train.js';
export { trainTokenizer } from './api/train-tokenizer.js';
export { NibbleError };

/** @type {typeof import('./index.d.ts').load} */
export async function load(source, options) {
    const { adapters = [], ...others } = options ?? {},
        wanted = checkAdapterSources(adapters);
    // null is no object, which openModel() says
    const { link, info } = await openModel(source, options && others),
        model = new Model(link, info);
    try {
        for (const { source, options } of wanted) await model.addAdapter(source, { ...options, signal: others.signal });
        return model;
    } catch (error) {
        await model.dispose();
        throw error;
    }
}
