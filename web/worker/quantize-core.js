/** Helpers for the core of nibble-quantize.wasm (src/nibble_quantize.h). */
import { TYPES } from '../abi.js';
import { about, messageOf } from '../errors.js';

/** @typedef {import('./core.js').Core} Core */

/**
 * Bytes of so many weights, which are whole blocks of the type.
 * @param {Core} core
 * @param {string} type
 * @param {number} weights
 */
export const blockBytes = ({ exports }, type, weights) =>
    (weights / exports.nb_quantizer_block(TYPES[type])) * exports.nb_quantizer_block_bytes(TYPES[type]);

/**
 * Puts the name of the tensor into an error of the core.
 * @param {unknown} error
 * @param {string} name
 */
export const withName = (error, name) => (messageOf(error).includes(name) ? error : about(`tensor ${name}`, error));
