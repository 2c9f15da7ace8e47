// The browser that pages are tested in.
import { existsSync } from 'node:fs';
import { missing } from './builds.js';

const CHROMIUM =
    process.env.CHROMIUM ??
    ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path)) ??
    '';
const FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
];
const playwright = await import('playwright-core').catch(() => null);

/** The `skip` option of a test that needs it. */
export const skip = missing(
    !playwright
        ? 'playwright-core is missing: run make setup'
        : !existsSync(CHROMIUM) && 'there is no Chromium: apt-get install chromium, or name it in CHROMIUM',
);

export const launch = () =>
    /** @type {NonNullable<typeof playwright>} */ (playwright).chromium.launch({
        executablePath: CHROMIUM,
        args: FLAGS,
    });
