// The most common bundlers (`make bundlers` tries all). Each builds a small app with the package, and the app must then
// answer in Chromium, or in Node if the bundle is made for it.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { bundlers } from '../bundlers/bundlers.js';
import { expectedAnswer, tryBundler } from '../bundlers/run.js';
import { missing, root } from '../support/builds.js';
import { launch, skip as skipBrowser } from '../support/chromium.js';

const skip =
    skipBrowser ||
    missing(
        !existsSync(`${root}tests/bundlers/node_modules/vite`) && 'the bundlers are missing: make test installs them',
    );

describe('an app built by', { skip }, () => {
    /** @type {import('playwright-core').Browser} */
    let browser;
    let expected = '';
    before(async () => {
        browser = await launch();
        expected = await expectedAnswer();
    });
    after(() => browser?.close());

    for (const bundler of bundlers.filter(({ lean }) => lean))
        it(bundler.name, async () => assert.equal(await tryBundler(bundler, browser), expected));
});
