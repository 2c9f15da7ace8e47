/* libFuzzer target of the GGUF parser: any bytes, with the file's size known or not, give a valid checkpoint or an
 * error. The result does not depend on the pieces that the bytes come in.
 *
 * Input: byte 0 chooses the size of the pieces, byte 1 whether the file's size is known; the rest is the file. */
#include "fuzz.h"

#include "../../src/formats/gguf.h"
#include "../../src/types/traits.h"

/* Feeds the file in pieces. Each time the bytes so far are in a block of exactly their size, so that reading beyond the
 * end is found. *c owns the last block. */
static int32_t feed(const uint8_t *data, size_t size, size_t piece, uint64_t file_bytes, nb_checkpoint *c,
                    nb_error *err) {
    nb_gguf g = {.file_bytes = file_bytes};
    *c = (nb_checkpoint){0};
    *err = (nb_error){0};
    int32_t code = NB_GGUF_MORE;
    for (size_t n = 0; code == NB_GGUF_MORE && n < size;) {
        n = NB_MIN(n + piece, size);
        nb_free(c->header);
        c->header = nb_alloc(n);
        demand(c->header);
        memcpy(c->header, data, n);
        c->header_size = n;
        code = nb_gguf_parse(&g, c, c->header, n, err);
        demand(g.at <= n);
    }
    return code;
}

/* Checks what checkpoint.h promises of a complete checkpoint. */
static void check_promises(const nb_checkpoint *c, uint64_t file_bytes) {
    for (uint64_t i = 0; i < c->n_values; i++) {
        const nb_value *v = &c->values[i];
        demand(nb_checkpoint_key(c, v).size > 0 && v->type < NB_VALUE_COUNT);
        demand(v->size <= c->header_size && v->at <= c->header_size - v->size);
        if (v->type != NB_VALUE_ARRAY)
            continue;
        uint64_t at = v->at;
        for (uint64_t k = 0; k < v->count; k++) {
            if (v->item_type == NB_VALUE_STRING)
                demand(nb_checkpoint_next_string(c, &at).data != NULL);
            else
                nb_checkpoint_item(c, v, k);
        }
        demand(at == (v->item_type == NB_VALUE_STRING ? v->at + v->size : v->at));
    }
    uint64_t end = c->data_at;
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_tensor_info *t = &c->tensors[i];
        demand(nb_traits_of(t->type) && nb_checkpoint_tensor_name(c, t).size > 0);
        demand(t->at >= end && t->bytes > 0 && t->bytes <= INT64_MAX && t->shape[3] > 0);
        end = t->at + t->bytes;
    }
    demand(end == c->total_bytes && (!file_bytes || end <= file_bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t pieces[] = {1, 2, 3, 5, 8, 13, 31, 64, 100, 256, 1000, 4096};
    if (size < 2)
        return 0;
    size_t piece = pieces[data[0] % (sizeof pieces / sizeof *pieces)];
    bool known = data[1] & 1;
    data += 2;
    size -= 2;
    piece = NB_MAX(piece, size / 64); /* feed() copies the file for each piece */

    nb_checkpoint whole, cut;
    nb_error error, cut_error;
    int32_t code = feed(data, size, size, known ? size : 0, &whole, &error);
    int32_t cut_code = feed(data, size, piece, known ? size : 0, &cut, &cut_error);
    demand(code == cut_code && code <= NB_GGUF_MORE);
    demand(code < 0 ? error.code == code && error.message[0] : error.code == 0);
    demand(nb_compare(error.message, cut_error.message, sizeof error.message) == 0);
    demand(whole.n_values == cut.n_values && whole.n_tensors == cut.n_tensors);
    if (whole.n_values)
        demand(nb_compare(whole.values, cut.values, (size_t)whole.n_values * sizeof *whole.values) == 0);
    if (whole.n_tensors)
        demand(nb_compare(whole.tensors, cut.tensors, (size_t)whole.n_tensors * sizeof *whole.tensors) == 0);
    demand(!known || code != NB_GGUF_MORE || size == 0);
    if (code == NB_GGUF_DONE)
        check_promises(&whole, known ? size : 0);
    nb_checkpoint_free(&whole);
    nb_checkpoint_free(&cut);
    return 0;
}
