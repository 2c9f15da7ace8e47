// Takes README's screenshot of the demo, docs/demo.webp: node tools/screenshot.js
// It needs the chat model (make setup) and Chromium.
import { writeFileSync } from 'node:fs';
import { models, root } from '../tests/support/builds.js';
import { launch } from '../tests/support/chromium.js';
import { ask, READY } from '../tests/support/demo-page.js';
import { serve } from './serve.js';

const QUESTIONS = ['Why is the sky blue? Answer in one sentence.', 'Write a haiku about it.'];
const MOST_BYTES = 150_000;

if (models.realMissing) throw new Error(models.realMissing);
const site = await serve();
const browser = await launch();
try {
    const context = await browser.newContext({ viewport: { width: 1120, height: 700 }, deviceScaleFactor: 1.5 });
    await context.addInitScript(() =>
        localStorage.setItem('nibble.settings', JSON.stringify({ temperature: 0, maxTokens: 200 })),
    );
    const page = await context.newPage();
    page.setDefaultTimeout(120_000);
    await page.goto(`${site.url}demo/`);
    await page.waitForSelector(READY);
    for (const question of QUESTIONS) await ask(page, question);
    if ((await page.getAttribute('#panel-toggle', 'aria-expanded')) === 'false') await page.click('#panel-toggle');
    await page.waitForTimeout(500); // the panel slides in
    const session = await context.newCDPSession(page);
    const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 80 });
    const bytes = Buffer.from(data, 'base64');
    if (bytes.length > MOST_BYTES) throw new Error(`the picture has ${bytes.length} bytes`);
    writeFileSync(`${root}docs/demo.webp`, bytes);
} finally {
    await browser.close();
    await site.close();
}
