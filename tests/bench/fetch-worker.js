// Reads an address to its end, and lets the bytes go: what loading a model cannot be faster than. Or keeps them, in a
// fresh WebAssembly memory, as everything must that is to compute with them: a page of memory costs when it is touched
// first.
addEventListener('message', async ({ data: { url, keep } }) => {
    const response = await fetch(url),
        reader = response.body?.getReader();
    const size = keep ? Number(response.headers.get('content-length')) : 0;
    const room = new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(size / 65536) }).buffer);
    let at = 0;
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
        if (keep) room.set(piece.value, at);
        at += piece.value.length;
    }
    postMessage('done');
});
