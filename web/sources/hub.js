/** URLs of models on the hub, and what a server lists in a folder. */
import { NibbleError } from '../errors.js';
import { openUrl } from './download.js';
import { decoded, isHidden } from './names.js';

/**
 * hf:OWNER/REPO[@REVISION][/FILE] -> the URL of a folder or a file on the hub. What is copied from the hub's own
 * URLs is understood, too: hf://..., .../blob/REVISION/FILE, and names that are percent-encoded.
 * @param {string} text
 */
export function hubUrl(text) {
    const [, owner, repo, revision, rest = ''] =
        /^hf:(?:\/\/)?([\w.-]+)\/([\w.-]+)(?:@([^/]+))?(\/[^?]*)?(?:\?.*)?$/.exec(text) ?? [];
    const refuse = (/** @type {string} */ why) =>
        new NibbleError('NB_ERR_ARGUMENT', `${text} does not name a model on the hub: ${why}`);
    if (!owner) throw refuse('it should look like hf:owner/repo, or hf:owner/repo/file.gguf');
    const names = rest
        .replace(/^\/|\/+$/g, '')
        .split('/')
        .map(decoded);
    const [at, ...path] =
        !revision && /^(blob|raw|resolve|tree)$/.test(names[0]) && names.length > 1
            ? names.slice(1)
            : [decoded(revision ?? 'main'), ...(names[0] === '' && names.length === 1 ? [] : names)];
    // such parts would lead to another URL
    if ([owner, repo, ...[at, ...path].flatMap((part) => part.split(/[/\\]/))].some((part) => /^\.*$/.test(part)))
        throw refuse('it has a part that is empty or only dots');
    const isFolder = path.length === 0 || rest.endsWith('/');
    const whole = [at, ...path].map(encodeURIComponent).join('/');
    return `https://huggingface.co/${owner}/${repo}/resolve/${whole}${isFolder ? '/' : ''}`;
}

/** Where a folder's files are listed: at its own URL; on the hub, at a URL of its API. @param {string} url */
export function listingUrl(url) {
    const [, hub, repo, revision, path] =
        /^(https:\/\/huggingface\.co)\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/([^?#]*)$/.exec(url) ?? [];
    return hub ? `${hub}/api/models/${repo}/tree/${revision}/${path}`.replace(/\/$/, '') : url;
}

/**
 * A few of the GGUF files that a server lists in a folder: as a page of links, or as JSON with paths.
 * @param {string} url
 * @returns {Promise<string[]>}
 */
export async function ggufsListed(url) {
    const ENOUGH = 1 << 18;
    let text = '';
    try {
        const page = await openUrl(listingUrl(url), 0, {});
        for (let piece; text.length < ENOUGH && (piece = await page.next()); ) text += new TextDecoder().decode(piece);
        page.cancel();
    } catch {
        return []; // most servers list nothing
    }
    const links = [...text.matchAll(/(?:href=|"path": ?)"(?:[^"?#]*\/)?([^"/?#]+\.gguf)["?#]/gi)].map(
        ([, name]) => name,
    );
    return [...new Set(links)].filter((name) => !isHidden(decoded(name))).slice(0, 3);
}
