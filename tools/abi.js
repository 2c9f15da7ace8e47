// Writes web/abi.js from the C headers: the constants and structs that JavaScript shares with the core. `make build`
// runs it, and tests/js/abi.test.js checks that the file is up to date.
//     node tools/abi.js            writes it
//     node tools/abi.js --print    prints it
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A C source without comments. @param {string} path */
const read = (path) =>
    readFileSync(root + path, 'utf8')
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/\/\/.*/g, '');

/** The constants of a header's enums with their values, in the header's order. @param {string} source */
function enumsOf(source) {
    /** @type {Map<string, number>} */
    const values = new Map();
    for (const [, body] of source.matchAll(/\benum\s*\w*\s*\{([^}]*)\}/g)) {
        let next = 0;
        for (const item of body
            .split(',')
            .map((text) => text.trim())
            .filter(Boolean)) {
            const [, name, value] = /^(\w+)(?:\s*=\s*(-?\d+))?$/.exec(item) ?? [];
            if (!name) throw new Error(`tools/abi.js: cannot read the constant "${item}"`);
            next = value === undefined ? next : Number(value);
            values.set(name, next++);
        }
    }
    return values;
}

const TYPES = /** @type {Record<string, { size: number, view: string }>} */ ({
    int32_t: { size: 4, view: 'Int32' },
    uint32_t: { size: 4, view: 'Uint32' },
    float: { size: 4, view: 'Float32' },
    double: { size: 8, view: 'Float64' },
});

/** The structs of a header with the offsets of their fields: numbers, each aligned to its size, or a text at the end.
 * @param {string} source */
function structsOf(source) {
    const structs = [];
    for (const [, name, body] of source.matchAll(/typedef struct (\w+) \{([^}]*)\}/g)) {
        let size = 0;
        const fields = [];
        for (const line of body
            .split(';')
            .map((text) => text.trim())
            .filter(Boolean)) {
            const [, type, declared] = /^(\w+)\s+([\s\S]+)$/.exec(line) ?? [];
            for (const declarator of declared.split(',').map((text) => text.trim())) {
                const [, field, count] = /^(\w+)(?:\[(\d+)\])?$/.exec(declarator) ?? [];
                const known =
                    type === 'char' && count ? { size: Number(count), view: 'text' } : count ? undefined : TYPES[type];
                if (!field || !known || (!count && size % known.size))
                    throw new Error(`tools/abi.js: cannot lay out "${line}" of ${name}`);
                fields.push([field, size, known.view]);
                size += known.size;
            }
        }
        structs.push({ name, size, fields });
    }
    return structs;
}

/** The names of a table's rows: the string that each row begins with. @param {string} source @param {string} table */
function namesIn(source, table) {
    const [, rows = ''] = new RegExp(`${table}\\[\\] = \\{([^;]*)\\};`).exec(source) ?? [];
    const names = [...rows.matchAll(/\{"(\w+)"/g)].map((row) => row[1]);
    if (names.length === 0) throw new Error(`tools/abi.js: there is no table ${table}`);
    return names;
}

/** The constants that begin with the prefix, by the rest of their names in lower case.
 * @param {Map<string, number>} values @param {string} prefix */
const named = (values, prefix) =>
    [...values]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]);

/** @param {(string | number)[][]} entries */
const object = (entries) =>
    `{\n${entries.map(([key, value]) => `    ${/^\w+$/.test(String(key)) ? key : `'${key}'`}: ${value},\n`).join('')}}`;

function text() {
    const header = ['nibble', 'nibble_convert', 'nibble_quantize', 'nibble_train', 'nibble_grammar']
        .map((name) => read(`src/${name}.h`))
        .join('');
    const values = enumsOf(header),
        types = enumsOf(read('src/types/types.h')),
        tokens = enumsOf(/enum\s*\{[^}]*NB_TOKEN_NORMAL[^}]*\}/.exec(read('src/text/vocabulary.h'))?.[0] ?? '');
    const errors = [...values].filter(([name]) => name.startsWith('NB_ERR_'));
    const flags = [...values].filter(([name]) => !name.startsWith('NB_ERR_') && !/^NB_(POOLING|PRECISION)_/.test(name));
    const tensorTypes = object(named(types, 'NB_TYPE_').filter(([name]) => name !== 'limit'));
    return `// Written by tools/abi.js from src/nibble.h, nibble_convert.h, nibble_quantize.h, nibble_train.h,
// nibble_grammar.h, types/types.h, text/vocabulary.h and quant/presets.c: do not edit it, run \`make build\`.

${flags.map(([name, value]) => `export const ${name} = ${value};`).join('\n')}
export const NB_TOKEN_USER_DEFINED = ${tokens.get('NB_TOKEN_USER_DEFINED')};

/** The core's error codes. */
export const ERRORS = /** @type {const} */ (${object(errors.map(([name, value]) => [value, `'${name}'`]))});

/** NB_POOLING_... */
export const POOLINGS = ${object(named(values, 'NB_POOLING_'))};

/** NB_PRECISION_... */
export const PRECISIONS = ${object(named(values, 'NB_PRECISION_'))};

/** NB_TYPE_..., of tensors. */
export const TYPES = /** @type {Record<string, number>} */ (${tensorTypes});

/** The names of quantizations (src/quant/presets.c). */
export const PRESETS = [
${namesIn(read('src/quant/presets.c'), 'presets')
    .map((name) => `    '${name}',\n`)
    .join('')}];

${structsOf(header)
    .map(
        ({ name, size, fields }) => `export const ${name} = {
    size: ${size},
    fields: /** @type {const} */ ({
${fields.map(([field, at, view]) => `        ${field}: { at: ${at}, view: '${view}' },\n`).join('')}    }),
};`,
    )
    .join('\n\n')}
`;
}

if (process.argv.includes('--print')) process.stdout.write(text());
else writeFileSync(`${root}web/abi.js`, text());
