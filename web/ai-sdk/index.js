/** nibble-llm/ai-sdk: a provider for Vercel's AI SDK. index.d.ts says how it is used. */
import { namedModels } from '../openai/models.js';
import { embeddingModel } from './embedding-model.js';
import { noSuchModel } from './errors.js';
import { languageModel } from './language-model.js';

/** @typedef {import('../index.d.ts').Model} Model */

/** @type {typeof import('./index.d.ts').createNibble} */
export function createNibble(models) {
    const { all, single } = namedModels('createNibble()', models),
        names = Object.keys(all);
    /**
     * @template Kind
     * @param {'languageModel' | 'embeddingModel'} type
     * @param {(name: string, model: Model) => Kind} make
     * @returns {(name?: string) => Kind}
     */
    const maker = (type, make) => (name) => {
        const asked = single ? names[0] : name;
        if (asked === undefined || !Object.hasOwn(all, asked))
            throw noSuchModel(asked ?? '', type, `name ${names.map((each) => JSON.stringify(each)).join(' or ')}`);
        return make(asked, all[asked]);
    };
    const own = maker('languageModel', languageModel);
    return Object.assign(/** @type {typeof own} */ ((name) => own(name)), {
        specificationVersion: /** @type {const} */ ('v4'),
        languageModel: own,
        embeddingModel: maker('embeddingModel', embeddingModel),
        imageModel(/** @type {string} */ name) {
            throw noSuchModel(name, 'imageModel', 'nibble runs language models and embedding models');
        },
    });
}
