/** Files that are no model. */

/**
 * Says what a file is that the core would not take, where its first bytes tell: most wrong files are one of these.
 * @param {Uint8Array} head
 * @param {boolean} alone whether it is the only one
 * @returns {string | undefined}
 */
export function recognize(head, alone) {
    const text = String.fromCharCode(...head).trimStart();
    if (/^<(!doctype|html|head|\?xml|!--)/i.test(text))
        return 'this is a web page, not a model file: the address is that of a page about the file (on a model hub, take the ' +
            'download link, which has /resolve/ where the page has /blob/), or the server answers every address with its ' +
                'own page';
    if (text.startsWith('version https://git-lfs'))
        return 'this is a Git LFS pointer, not the model itself: run "git lfs pull" where the repository was cloned';
    if (text.startsWith('PK\x03\x04'))
        return 'this is a zip archive (a PyTorch checkpoint, or a packed file), not GGUF: unpack it, or convert it to GGUF';
    if (text.startsWith('\x1f\x8b'))
        return 'this is a gzip archive: unpack it first';
    if (alone && /^[^]{8}\{"/.test(String.fromCharCode(...head)))
        return 'this looks like a safetensors file: its weights need config.json and tokenizer.json, so load the whole ' +
            'folder (or all of its files)';
    if (/^(tjgg|fmgg|lmgg|algg)/.test(text))
        return 'this is a GGML file from before GGUF: convert it to GGUF';
    if (text.startsWith('{') || text.startsWith('['))
        return `this is JSON, not a model file; it begins ${JSON.stringify(text.slice(0, 60))}`;
    return undefined;
}
