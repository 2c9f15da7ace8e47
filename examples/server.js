// Serves answers over HTTP on this machine:
//     node examples/server.js MODEL PORT
//     curl -N --data "Who are you?" http://127.0.0.1:8000/chat
// The text is sent as it comes. Requests that come meanwhile wait for their turn: a model answers one at a time.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { load } from 'nibble-llm';

const MOST_BYTES = 1 << 20; // of a question

const [source = 'demo/stories.gguf', port = '8000'] = process.argv.slice(2);
const model = await load(source);

const server = createServer(async (request, response) => {
    if (request.method !== 'POST' || request.url !== '/chat') return response.writeHead(404).end('POST /chat\n');
    if (!(Number(request.headers['content-length']) <= MOST_BYTES))
        return response.writeHead(413).end(`say the length of the question, ${MOST_BYTES} bytes at most\n`);
    const reader = new AbortController();
    response.on('close', () => reader.abort()); // if a client leaves early, the model is free for the next
    try {
        const question = await text(request);
        const generation = model.chat(question, { maxTokens: 64, signal: reader.signal });
        for await (const piece of generation) response.write(piece);
        response.end('\n');
    } catch (error) {
        if (reader.signal.aborted) return;
        if (!response.headersSent) response.writeHead(500);
        response.end(`${error instanceof Error ? error.message : error}\n`);
    }
});

// 127.0.0.1: other machines cannot reach it
server.listen(Number(port), '127.0.0.1', () => {
    const address = /** @type {import('node:net').AddressInfo} */ (server.address());
    console.log(`http://127.0.0.1:${address.port}/chat`);
});

process.once('SIGTERM', () => {
    server.close();
    server.closeAllConnections();
    model.dispose();
});
