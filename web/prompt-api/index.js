/** nibble-llm/prompt-api: Chrome's LanguageModel over a model of one's own. index.d.ts says how it is used. */
import { describe } from '../api/run-tools.js';
import { promptOf } from './context.js';
import { exception, named, notSupported, quotaExceeded } from './errors.js';
import { checkAppended, PARAMS, samplingOf, toInputs, toList, toTools, unsupported } from './inputs.js';
import { progressTo } from './progress.js';
import { KEY, Session } from './session.js';
import { SharedModel } from './shared-model.js';
import { signalOf, task, throwIfAborted, whenAborted, withSignals } from './signals.js';

/** @typedef {import('./index.d.ts').CreateOptions} CreateOptions */

/** @type {typeof import('./index.d.ts').languageModel} */
export function languageModel(source, { chat = {}, ...options } = {}) {
    const shared = new SharedModel(source, options);
    const { templateVariables, documents, thinking, ...generate } = chat,
        common = Object.fromEntries(
            Object.entries({ templateVariables, documents, thinking }).filter(([, value]) => value !== undefined),
        );

    class LanguageModel extends Session {
        /** @param {CreateOptions} [core] */
        static async availability(core = {}) {
            return unsupported(core, toTools(core)) ? 'unavailable' : shared.availability;
        }

        static async params() {
            return PARAMS;
        }

        /** @param {CreateOptions} [given] */
        static async create(given = {}) {
            const tools = toTools(given),
                missing = unsupported(given, tools),
                sampling = samplingOf(given),
                signal = signalOf(given);
            const prompts = toList(given.initialPrompts, 'initialPrompts'),
                initial = prompts.length === 0 ? [] : checkAppended(toInputs(prompts), false);
            throwIfAborted([signal]);
            const progress = progressTo(given.monitor);
            if (missing) throw notSupported(missing);
            if (shared.problem) throw exception('NotSupportedError', shared.problem);
            /** @param {AbortSignal} own */
            const begin = async (own) => {
                progress(0);
                const loading = shared.acquire((share) => progress(share, own));
                const model = await Promise.race([loading, whenAborted(own)]);
                if (shared.problem) throw exception('NotSupportedError', shared.problem);
                progress(1, own);
                await task();
                const template = { ...common, ...(tools.length > 0 && { tools: tools.map(describe) }) };
                const { tokens } = await promptOf(model, initial, { ...template, addGenerationPrompt: false }),
                    usage = tokens.length;
                if (usage > model.info.contextLength) throw quotaExceeded(usage, model.info.contextLength);
                throwIfAborted([own]);
                const functions = new Map(tools.map((tool) => [tool.name, tool])),
                    settings = { shared, model, sampling, template, generate, functions },
                    state = { ...settings, initial, messages: [], usage };
                return new LanguageModel(KEY, state, signal);
            };
            try {
                return await withSignals([signal], async (own) => {
                    try {
                        return await begin(own);
                    } catch (error) {
                        shared.release();
                        throw error;
                    }
                });
            } catch (error) {
                throw named(error, 'OperationError');
            }
        }
    }
    return /** @type {any} */ (LanguageModel);
}
