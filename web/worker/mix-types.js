/** The types that the automatic mix chooses from. */
import { layerOf, weightsOf } from './planned.js';

/** @typedef {import('./planned.js').Planned} Planned */

/** Types for rows that are whole blocks of 256, and for other rows. */
const OF_256 = 'iq2_xxs iq2_xs iq2_s q2_k iq3_xxs iq3_s q3_k iq4_xs q4_k q5_k q6_k q8_0 f16'.split(' '),
    OF_32 = 'iq4_nl q4_0 q4_1 q5_0 q5_1 q8_0 f16'.split(' ');

/** All of them. The losses of a matrix are in this order. */
export const MIX_TYPES = [...new Set([...OF_256, ...OF_32])];

/** The types for measuring curvatures. A matrix is measured as the first of them that it may become. */
const PROBE_TYPES = ['q3_k', 'iq4_nl', 'q4_0'];

/**
 * The types that a tensor may become. AutoRound, which rounds the matrices of layers, makes none that have codebooks.
 * @param {{ name: string, columns: number }} tensor
 * @param {import('../protocol.js').MixOptions['method']} method
 */
export function mixTypesOf({ name, columns }, method) {
    const isLimited = method === 'autoround' && layerOf(name) >= 0,
        types = (columns % 256 ? OF_32 : OF_256).filter((type) => !(isLimited && type.startsWith('iq')));
    return columns % 32 ? ['f16'] : types;
}

/** @param {string[]} types that a tensor may become */
export const probeTypeOf = (types) => PROBE_TYPES.find((type) => types.includes(type));

/** The type in which weights keep their values. @param {string} from */
export const plainType = (from) => (/^f8_/.test(from) ? 'bf16' : from);

/** @param {import('./rounder.js').Rounder} rounder @param {Planned} tensor @param {string} type */
export const bytesOf = (rounder, tensor, type) => rounder.bytesOf(type, weightsOf(tensor));
