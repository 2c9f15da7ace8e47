// Downloads a file and drops the bytes: the least time that loading a model can take. With `keep` it copies the bytes
// into a fresh WebAssembly memory, as every engine must. That takes longer: the first write to a memory page is slow.
addEventListener('message', async ({ data: { url, keep } }) => {
    const response = await fetch(url),
        reader = response.body?.getReader();
    const size = keep ? Number(response.headers.get('content-length')) : 0;
    const buffer = new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(size / 65536) }).buffer);
    let at = 0;
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
        if (keep) buffer.set(piece.value, at);
        at += piece.value.length;
    }
    postMessage('done');
});
