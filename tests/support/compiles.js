/** Programs that are typed against nibble's declarations and those of a package. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { root } from './builds.js';

/** Fails unless the program compiles. @param {string} file within the root */
export function compiles(file) {
    const { status, stdout } = spawnSync(
        process.execPath,
        [
            `${root}node_modules/typescript/bin/tsc`,
            ...['--noEmit', '--ignoreConfig', '--strict', '--noUncheckedIndexedAccess', '--skipLibCheck'],
            ...['--target', 'es2022', '--module', 'nodenext', '--types', 'node'],
            ...['--lib', 'es2023,dom,dom.iterable,dom.asynciterable', file],
        ],
        { cwd: root, encoding: 'utf8' },
    );
    assert.equal(status, 0, stdout);
}
