// The links of a Markdown page.

/** Targets of the links to other places of the repository, as the page writes them. @param {string} page its text */
export const linksOf = (page) =>
    [...page.matchAll(/\]\(([^)\s]+)\)|(?<=(?:src|srcset|href)=")[^"]+/g)]
        .map(([, target]) => target)
        .filter((target) => target && !/^[a-z]+:/.test(target));
