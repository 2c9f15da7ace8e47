/* libFuzzer target of the JSON reader: any bytes are JSON, or give an error that says where it is wrong. Iterating over
 * JSON ends, stays within the text, and finds every value once. */
#include "fuzz.h"

#include "../../src/convert/json.h"

/* The number of values in a container, itself included. The depth is bounded, so this may recurse.
 * NOLINTNEXTLINE(misc-no-recursion) */
static size_t visit(nb_node n, const uint8_t *end, char *scratch) {
    demand(n.at < end && n.end == end);
    nb_node_number(n, 0);
    nb_text raw = nb_node_raw(n);
    if (raw.data)
        demand(nb_node_decode(n, scratch) <= raw.size);
    size_t found = 1;
    const uint8_t *last = n.at;
    for (nb_members w = nb_members_of(n); nb_members_next(&w);) {
        demand(w.value.at > last && (nb_node_first(n) == '{') == (nb_node_first(w.key) == '"'));
        last = w.value.at;
        if (w.key.at)
            demand(nb_node_decode(w.key, scratch) <= nb_node_raw(w.key).size);
        found += visit(w.value, end, scratch);
    }
    return found;
}

/* The number of values in a text, counted in another way: by the characters outside of strings that begin a value. */
static size_t count(const uint8_t *text, size_t size) {
    size_t n = 0;
    bool may_begin = true;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = text[i];
        if (c == '"') {
            size_t start = i;
            for (i++; text[i] != '"'; i++)
                i += text[i] == '\\';
            size_t next = i + 1;
            while (next < size && (text[next] == ' ' || text[next] == '\n' || text[next] == '\t' || text[next] == '\r'))
                next++;
            n += next == size || text[next] != ':'; /* a key is no value */
            may_begin = false;
            demand(i > start);
        } else if (c == '{' || c == '[') {
            n++;
            may_begin = true;
        } else if (c == ',' || c == ':') {
            may_begin = true;
        } else if (c == '}' || c == ']') {
            may_begin = false;
        } else if (c != ' ' && c != '\n' && c != '\t' && c != '\r' && c < 0x80) {
            n += may_begin;
            may_begin = false;
        }
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nb_node root;
    nb_error err = {0};
    char *scratch = nb_alloc(size + 1);
    int32_t code = nb_json_check(data, size, "text", &root, &err);
    demand(code == NB_OK ? err.code == 0 : err.code == code && err.message[0]);
    if (code == NB_OK)
        demand(visit(root, data + size, scratch) == count(data, size));
    nb_free(scratch);
    return 0;
}
