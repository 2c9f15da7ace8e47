// Facts about the model, as rows of a list.
import { formatBytes, formatCount, formatDuration } from './format.js';

/**
 * @param {import('../web/index.js').ModelInfo} info members are missing if the file does not say them
 * @returns {[string, string][]}
 */
export function modelFacts(info) {
    const { tokenizer } = info;
    /** @type {[string, unknown][]} */
    const rows = [
        ['Name', info.name],
        ['Architecture', info.architecture],
        [
            'File',
            info.bytes > 0 && `${formatBytes(info.bytes)}, ${info.format}${info.version ? ` v${info.version}` : ''}`,
        ],
        ['Weights', info.parameters > 0 && formatCount(info.parameters)],
        [
            'Types',
            info.types.map(({ type, share }) => `${type} ${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`).join(', '),
        ],
        ['Layers', info.layers],
        [
            'Width',
            info.width &&
                `${formatCount(info.width)}${info.feedForward ? `, feed-forward ${formatCount(info.feedForward)}` : ''}`,
        ],
        [
            'Heads',
            info.heads && `${info.heads} for queries, ${info.kvHeads} for keys and values, of size ${info.headSize}`,
        ],
        [
            'Vocabulary',
            tokenizer &&
                `${formatCount(tokenizer.size)} tokens (${[tokenizer.kind, tokenizer.pre].filter(Boolean).join(', ')})`,
        ],
        ['Trained context', info.context && `${formatCount(info.context)} tokens`],
        [
            'KV cache',
            info.kvBytesPerToken &&
                `${formatBytes(info.kvBytesPerToken * info.contextLength)} for ` +
                    `${formatCount(info.contextLength)} tokens`,
        ],
        ['Loaded in', info.loadMs && formatDuration(info.loadMs / 1000)],
    ];
    return rows.filter(([, value]) => value).map(([name, value]) => [name, String(value)]);
}
