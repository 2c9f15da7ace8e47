#include "huggingface_names.h"

#include "../base/numbers.h"
#include "../base/writer.h"

bool nb_hf_take_prefix(nb_text *text, const char *const *prefixes) {
    while (*prefixes && !nb_text_take(text, *prefixes))
        prefixes++;
    return *prefixes;
}

/* Removes the number that a text begins with, and returns it as it is spelled; empty if there is none. */
static nb_text take_number(nb_text *text) {
    nb_text before = *text;
    uint32_t number;
    if (!nb_text_take_number(text, &number))
        return (nb_text){0};
    return (nb_text){before.data, (size_t)(text->data - before.data)};
}

/* Whether the name matches a pattern in which "*" is a number; *number is that number. */
static bool fits(nb_text name, const char *pattern, nb_text *number) {
    *number = (nb_text){0};
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            *number = take_number(&name);
            if (!number->size)
                return false;
        } else if (!name.size || *name.data != *pattern) {
            return false;
        } else {
            name = (nb_text){name.data + 1, name.size - 1};
        }
    }
    return !name.size;
}

/* GGUF's name in the table, or NULL. */
static const char *ours(const nb_hf_pair *table, nb_text name, nb_text *number) {
    for (; table && table->theirs; table++)
        if (fits(name, table->theirs, number))
            return table->ours;
    return NULL;
}

/* Where the module's name ends within a tensor's: before ".weight.", or else before the last dot. */
static size_t module_end(nb_text name) {
    size_t last = 0;
    for (size_t i = 0; i < name.size; i++) {
        nb_text rest = {name.data + i, name.size - i};
        if (nb_text_take(&rest, ".weight."))
            return i;
        last = name.data[i] == '.' ? i : last;
    }
    return last;
}

/* Removes all up to the layer's number, and returns the number; empty if the name is of no layer. */
static nb_text take_layer(nb_text *name) {
    nb_text within = *name, layer = {0};
    if (nb_hf_take_prefix(&within, nb_hf_layers))
        layer = take_number(&within);
    if (!layer.size || !nb_text_take(&within, "."))
        return (nb_text){0};
    *name = within;
    return layer;
}

void nb_hf_name_of(const nb_hf_model *p, nb_text name, nb_hf_name *out) {
    nb_hf_take_prefix(&name, nb_hf_prefixes);
    nb_text layer = take_layer(&name), number = {0};
    size_t end = module_end(name), after = end ? end + 1 : 0;
    nb_text theirs = {name.data, end};
    out->leaf = (nb_text){name.data + after, name.size - after};
    if (nb_text_is(out->leaf, "gamma") || nb_text_is(out->leaf, "beta")) /* in the first files of BERT */
        out->leaf = nb_text_of(nb_text_is(out->leaf, "gamma") ? "weight" : "bias");
    const char *found = ours(layer.size ? p->family->modules : nb_hf_modules, theirs, &number);
    if (!found && layer.size)
        found = ours(nb_hf_layer_modules, theirs, &number);
    nb_writer w = nb_writer_over(out->text, sizeof out->text);
    if (found && layer.size)
        nb_write(&w, "blk.%t.", layer);
    bool stacked = number.size;
    for (const char *c = found; c && *c; c++) {
        if (*c == '.' && c[1] == '*' && p->plan->quantization.library == NB_BY_NOBODY) {
            nb_write(&w, "_exps");
            break;
        }
        stacked &= *c != '*';
        if (*c == '*')
            nb_write_bytes(&w, number.data, number.size);
        else
            nb_write_bytes(&w, c, 1);
    }
    if (number.size && !stacked)
        nb_compose_only_nibble(p->composer, "experts of quantized folders stay one by one");
    if (!stacked || !nb_text_take_number(&number, &out->row))
        out->row = NB_NONE;
    out->module = (nb_text){out->text, NB_MIN(w.length, sizeof out->text - 1)};
    out->known = found && w.length + out->leaf.size + 2 < sizeof out->text;
}
