// Reads an address to its end and lets the bytes go: what loading a model cannot be faster than.
addEventListener('message', async ({ data: url }) => {
    const reader = (await fetch(url)).body?.getReader();
    while (reader && !(await reader.read()).done);
    postMessage('done');
});
