// How fast models are in Chromium: the files take turns, so that no two of them are compared across minutes.
import { relative } from 'node:path';
import { median } from '../../demo/bench-work.js';
import { serve } from '../../tools/serve.js';
import { call, openPage } from '../bench/engines.js';
import { launch } from '../support/chromium.js';
import { root } from './command.js';

/** A model in a page of its own, and its tokens per second so far.
 * @typedef {{ page: import('playwright-core').Page, vocabulary: number, prompt: number[],
 *     generate: number[] }} Running */

const PROMPT = 128,
    GENERATE = 64,
    ROUNDS = 5;

/**
 * Tokens per second with one thread: medians of five rounds.
 * @param {string[]} files below the repository's root
 * @returns {Promise<{ prompt: number, generate: number }[]>}
 */
export async function ratesOf(files) {
    const { url, close } = await serve({ root, caching: 'no-store' }),
        browser = await launch();
    try {
        /** @type {Running[]} */
        const running = [];
        const site = { browser, url };
        for (const file of files) {
            const page = await openPage(site),
                settings = { threads: 1, contextLength: PROMPT + GENERATE },
                { info } = await call(page, 'open', 'nibble', `/${relative(root, file)}`, settings);
            running.push({ page, vocabulary: info.vocabulary, prompt: [], generate: [] });
        }
        for (let round = 0; round <= ROUNDS; round++)
            for (const { page, vocabulary, prompt, generate } of running) {
                const tokens = Array.from({ length: PROMPT }, (_, i) => ((i + round) * 7919) % vocabulary);
                const rates = await call(page, 'rates', tokens, GENERATE);
                if (round === 0) continue; // it warms up
                prompt.push(rates.promptTokensPerSecond);
                generate.push(rates.generateTokensPerSecond);
            }
        return running.map(({ prompt, generate }) => ({ prompt: median(prompt), generate: median(generate) }));
    } finally {
        await browser.close();
        await close();
    }
}
