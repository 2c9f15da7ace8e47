/** Errors of the AI SDK. It knows them by these symbols, because several versions of its package may be installed. */

/**
 * @param {string} name
 * @param {string} message
 * @param {object} fields
 */
const sdkError = (name, message, fields) =>
    Object.assign(new Error(message), {
        name,
        ...fields,
        [Symbol.for('vercel.ai.error')]: true,
        [Symbol.for(`vercel.ai.error.${name}`)]: true,
    });

/** @param {string} functionality @param {string} advice */
export const unsupported = (functionality, advice) =>
    sdkError('AI_UnsupportedFunctionalityError', `nibble does not support ${functionality} yet: ${advice}`, {
        functionality,
    });

/**
 * @param {string} modelId
 * @param {'languageModel' | 'embeddingModel' | 'imageModel'} modelType
 * @param {string} advice
 */
export const noSuchModel = (modelId, modelType, advice) =>
    sdkError('AI_NoSuchModelError', `there is no ${modelType} ${JSON.stringify(modelId)}: ${advice}`, {
        modelId,
        modelType,
    });
