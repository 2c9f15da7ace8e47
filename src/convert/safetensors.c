#include "safetensors.h"

#include "../base/cursor.h"
#include "../base/numbers.h"
#include "../types/types.h"

#define DAMAGED "the file is damaged; download it again"

static const struct {
    const char *name;
    uint32_t type, bytes;
} types[] = {
    {"F32", NB_TYPE_F32, 4},         {"F16", NB_TYPE_F16, 2},         {"BF16", NB_TYPE_BF16, 2},
    {"F8_E4M3", NB_TYPE_F8_E4M3, 1}, {"F8_E5M2", NB_TYPE_F8_E5M2, 1}, {"I32", NB_TYPE_I32, 4},
    {"U8", NB_TYPE_U8, 1},           {"I8", NB_TYPE_I8, 1},           {"I64", NB_TYPE_I64, 8},
    {"F64", NB_TYPE_F64, 8},         {"I16", NB_TYPE_I16, 2},         {"BOOL", NB_TYPE_BOOL, 1},
};

enum { TYPES = sizeof types / sizeof *types };

const char *nb_safetensors_type(uint32_t type) {
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].type == type)
            return types[i].name;
    return "an unknown type";
}

int32_t nb_safetensors_begin(const uint8_t *start, uint64_t file_bytes, uint64_t *bytes, nb_error *err) {
    nb_cursor in = nb_cursor_over(start, NB_SAFETENSORS_LENGTH, 0);
    uint64_t length = nb_cursor_u64(&in);
    if (length < 2 || length > NB_SAFETENSORS_MAX_HEADER)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is neither a GGUF nor a safetensors file: it would have a header of %l bytes, not 2 to %u",
                       length, (uint32_t)NB_SAFETENSORS_MAX_HEADER);
    *bytes = NB_SAFETENSORS_LENGTH + length;
    if (file_bytes && *bytes > file_bytes)
        return NB_FAIL(err, NB_ERR_TRUNCATED,
                       "the header ends at byte %l, but the file has only %l: the download is incomplete; fetch it "
                       "again",
                       *bytes, file_bytes);
    return NB_OK;
}

/* A whole number from 0 to 2^53; false if the node is something else. */
static bool whole(nb_node n, uint64_t *out) {
    double value = nb_node_number(n, -1);
    if (!(value >= 0 && value <= 0x1p53) || value != (double)(uint64_t)value || nb_node_first(n) == 't' ||
        nb_node_first(n) == 'f')
        return false;
    *out = (uint64_t)value;
    return true;
}

/* shape: [n_dimensions], slowest first; *weights: their product, at most 2^62 */
static int32_t parse_shape(nb_node node, nb_tensor_info *t, uint64_t *weights, nb_text name, nb_error *err) {
    uint64_t sides[NB_MAX_DIMENSIONS];
    uint32_t n = 0;
    *weights = 1;
    for (nb_members w = nb_members_of(node); nb_members_next(&w); n++) {
        if (n == NB_MAX_DIMENSIONS)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "tensor %t has more than %u dimensions, which no supported model has", name,
                           (uint32_t)NB_MAX_DIMENSIONS);
        if (!whole(w.value, &sides[n]) || !nb_multiply(*weights, sides[n], weights) || *weights > (uint64_t)1 << 62)
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t has an impossible shape: " DAMAGED, name);
    }
    t->n_dimensions = NB_MAX(n, 1);
    for (uint32_t i = 0; i < n; i++)
        t->shape[i] = sides[n - 1 - i];
    return NB_OK;
}

static int32_t parse_tensor(nb_composer *x, nb_text folder, nb_node key, nb_node tensor, uint64_t data_at,
                            uint64_t file_bytes, nb_tensor_info t, uint64_t *end, nb_error *err) {
    nb_text name = nb_node_raw(key), type = nb_node_raw(nb_node_find(tensor, "dtype"));
    nb_node shape = nb_node_find(tensor, "shape"), offsets = nb_node_find(tensor, "data_offsets");
    if (!name.size || !type.data || nb_node_first(shape) != '[' || nb_node_first(offsets) != '[')
        return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t has no dtype, shape or data_offsets: " DAMAGED, name);
    uint32_t i = 0;
    while (i < TYPES && !nb_text_is(type, types[i].name))
        i++;
    if (i == TYPES)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t has type %t, which is not supported; F32, F16, BF16, F8_E4M3 and F8_E5M2 are", name,
                       type);
    uint64_t weights, from = 0, to = 0;
    NB_TRY(parse_shape(shape, &t, &weights, name, err));
    nb_members w = nb_members_of(offsets);
    bool two = nb_members_next(&w) && whole(w.value, &from) && nb_members_next(&w) && whole(w.value, &to) &&
               !nb_members_next(&w);
    if (!two || from > to || !nb_multiply(weights, types[i].bytes, &t.bytes) || to - from != t.bytes)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t of shape [%l, %l, %l, %l] (fastest side first) and type %s has impossible "
                       "data_offsets: " DAMAGED,
                       name, t.shape[0], t.shape[1], t.shape[2], t.shape[3], types[i].name);
    if (file_bytes && data_at + to > file_bytes)
        return NB_FAIL(err, NB_ERR_TRUNCATED,
                       "the data of tensor %t ends at byte %l, but the file has only %l: the download is incomplete; "
                       "fetch it again",
                       name, data_at + to, file_bytes);
    *end = NB_MAX(*end, data_at + to);
    if (!t.bytes) /* nothing is there */
        return NB_OK;
    t.type = types[i].type;
    t.at = data_at + from;
    nb_compose_tensor(x, folder, key, t);
    return x->code;
}

int32_t nb_safetensors_parse(nb_composer *x, uint32_t file, nb_text folder, const uint8_t *header, size_t size,
                             uint64_t file_bytes, uint64_t *end, nb_error *err) {
    nb_node root;
    NB_TRY(nb_json_check(header + NB_SAFETENSORS_LENGTH, size - NB_SAFETENSORS_LENGTH, "the header", &root, err));
    if (nb_node_first(root) != '{')
        return NB_FAIL(err, NB_ERR_FORMAT, "the header is not a JSON object: " DAMAGED);
    *end = size;
    for (nb_members w = nb_members_of(root); nb_members_next(&w);)
        if (!nb_node_is(w.key, "__metadata__"))
            NB_TRY(parse_tensor(x, folder, w.key, w.value, size, file_bytes,
                                (nb_tensor_info){.shape = {1, 1, 1, 1}, .file = file}, end, err));
    return NB_OK;
}
