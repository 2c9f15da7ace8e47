// The test runners fail when they should, because a suite that cannot fail proves nothing.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { builds, root } from '../support/builds.js';

const runs = [
    { name: 'native', command: [`${root}build/native/core-tests`] },
    ...builds
        .filter((build) => build.supported)
        .map(({ name }) => ({
            name,
            command: [process.execPath, `${root}tests/core/run.js`, name],
        })),
];

/** @param {string[]} command @param {string} filter */
function run([program, ...args], filter) {
    const { status, stdout } = spawnSync(program, [...args, filter], { cwd: root, encoding: 'utf8' });
    return { status, stdout };
}

for (const { name, command } of runs) {
    test(`C suite, ${name}: passes with a test that passes`, () => {
        const { status, stdout } = run(command, 'runner');
        assert.match(stdout, /^ok {3}runner: \d+ checks, 0 failed$/m);
        assert.equal(status, 0, stdout);
    });

    test(`C suite, ${name}: fails with a check that does not hold, and shows it`, () => {
        const { status, stdout } = run(command, 'fails_on_purpose');
        assert.match(stdout, /runner\.c:\d+: 1 \+ 1 == 3 does not hold: 2$/m);
        assert.match(stdout, /^core \S+: 0 passed, 1 failed$/m);
        assert.equal(status, 1);
    });

    test(`C suite, ${name}: fails with a test that checks nothing`, () => {
        const { status, stdout } = run(command, 'makes_no_check');
        assert.match(stdout, /made no check/);
        assert.equal(status, 1);
    });

    test(`C suite, ${name}: fails when no test is selected`, () => {
        const { status, stdout } = run(command, 'no such test');
        assert.match(stdout, /no test's name contains 'no such test'/);
        assert.equal(status, 1);
    });
}
