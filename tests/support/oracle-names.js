// The names of the fixtures that scripts of tests/oracles make. A test asks for them, to notice if one is missing.
import { spawnSync } from 'node:child_process';
import { root } from './builds.js';

/** @param {string[]} scripts of tests/oracles, without ".py" @returns {string[]} */
export function namesMade(...scripts) {
    const { stdout, stderr, status } = spawnSync('python3', [`${root}tests/oracles/one.py`, '--names', ...scripts], {
        encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`tests/oracles/one.py: ${stderr}`);
    return stdout.split('\n').filter(Boolean);
}
