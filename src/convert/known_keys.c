#include "known_keys.h"

#include "../base/writer.h"

static bool has_value(nb_node n, nb_text must) {
    if (*must.data == '{')
        return (nb_node_first(n) == '{' || nb_node_first(n) == '[') && nb_node_is_empty(n);
    nb_text raw = nb_node_raw(n);
    if (*must.data == '"')
        return raw.data && nb_text_equal((nb_text){raw.data - 1, raw.size + 2}, must);
    return !raw.data && nb_node_first(n) == (uint8_t)*must.data; /* true, false */
}

static bool has_one_of(nb_node n, const char *must) {
    if (nb_node_is_null(n))
        return true;
    for (const char *end; *must; must = *end ? end + 1 : end) {
        for (end = must; *end && *end != '|';)
            end++;
        if (has_value(n, (nb_text){must, (size_t)(end - must)}))
            return true;
    }
    return false;
}

/* "a|b" is written as "a or b". */
static int32_t refuse_value(nb_text file, const nb_known_key *key, nb_error *err) {
    char must[128];
    nb_writer w = nb_writer_over(must, sizeof must);
    for (const char *at = key->must; *at; at++)
        if (*at == '|')
            nb_write(&w, " or ");
        else
            nb_write_bytes(&w, at, 1);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED, "%t: %s must be %s here; other values of it are not supported", file,
                   key->key, must);
}

int32_t nb_keys_check(const nb_known_key *keys, nb_node object, nb_text file, bool strict, nb_error *err) {
    for (nb_members w = nb_members_of(object); nb_members_next(&w);) {
        if (!w.key.at)
            continue; /* an item of a list */
        const nb_known_key *k = keys;
        while (k->key && !nb_node_is(w.key, k->key))
            k++;
        if (k->key && k->must && !has_one_of(w.value, k->must))
            return refuse_value(file, k, err);
        if (!k->key && strict)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED, "%t: the key %t is not supported", file, nb_node_raw(w.key));
    }
    return NB_OK;
}
