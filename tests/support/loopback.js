// A web server for one test, on the loopback.
import { createServer } from 'node:http';

/**
 * @param {import('node:http').RequestListener} answer
 * @returns {Promise<{ url: string, port: number, close: () => void }>} url: without a slash at its end
 */
export async function listen(answer) {
    const server = createServer(answer);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    return {
        url: `http://127.0.0.1:${port}`,
        port,
        close() {
            server.closeAllConnections();
            server.close();
        },
    };
}
