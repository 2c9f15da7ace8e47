// What an error of nibble must look like.
import assert from 'node:assert/strict';
import { NibbleError } from '../../web/index.js';

/** For assert.rejects(): a NibbleError with this code and a message that matches.
 * @param {string} code @param {RegExp} message */
export const nibbleError = (code, message) => (/** @type {unknown} */ error) => {
    assert.ok(error instanceof NibbleError, `not a NibbleError: ${error}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
};
