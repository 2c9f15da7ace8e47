/* The quantizer packs tensors for a folder, and the converter reads the folder. The weights of the converter's GGUF
 * must be those that the quantizer reports for its codes. */
#include "check.h"
#include "gptq_inputs.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/formats/gguf.h"
#include "../../src/nibble_convert.h"
#include "../../src/types/traits.h"

enum { ROWS = TEST_ROWS, COLUMNS = TEST_COLUMNS, ROOM = 1 << 18, TEXT = 2048 };

typedef struct matrix {
    nb_code_format format;
    uint32_t groups, order;
    uint8_t codes[ROWS * COLUMNS], zeros[ROWS * COLUMNS / 32];
    uint16_t scales[ROWS * COLUMNS / 32];
    float values[ROWS * COLUMNS];
    int32_t columns[COLUMNS];
} matrix;

static matrix m;

static bool quantize(nb_code_format format, uint32_t order) {
    static float weights[ROWS * COLUMNS];
    uint32_t seed = TEST_SEED;
    nb_error err = {0};
    nb_quantizer *q = nb_quantizer_new(NULL, COLUMNS, &err);
    nb_gptq_settings settings = {0.05f, order, order == NB_ORDER_GROUP_AWARE ? format.group : 0};
    m.format = format;
    m.order = order;
    m.groups = format.group ? COLUMNS / format.group : 1;
    test_fill_weights(&seed, weights);
    test_fill_hessian(&seed, 0, nb_quantizer_hessian(q));
    bool done = test_factor(q, &settings) &&
                CHECK(nb_quantizer_codes(q, &m.format, NB_ROWS_PLAINLY, NB_TYPE_F32, weights, 0, ROWS, m.codes,
                                         m.scales, m.zeros, m.values, &err) == NB_OK &&
                          nb_quantizer_groups(q, &m.format, m.columns, &err) == (order == NB_ORDER_ACTIVATION),
                      "%s", err.message);
    nb_quantizer_free(q);
    return done;
}

/* ---- the folder ------------------------------------------------------------------------------------------------- */

static size_t write_config(char *out) {
    nb_writer w = nb_writer_over(out, TEXT);
    const nb_code_format *f = &m.format;
    const char *symmetric = f->symmetric ? "true" : "false";
    nb_write(&w, "{\"model_type\":\"llama\",\"hidden_size\":32,\"num_hidden_layers\":1,\"intermediate_size\":256,"
                 "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"max_position_embeddings\":128,"
                 "\"quantization_config\":{");
    if (f->format == NB_FORMAT_COMPRESSED)
        nb_write(&w,
                 "\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\",\"quantization_status\":"
                 "\"compressed\",\"ignore\":[],\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":{"
                 "\"num_bits\":%u,\"group_size\":%u,\"strategy\":\"group\",\"symmetric\":%s,\"type\":\"int\"}}}}}",
                 f->bits, f->group, symmetric);
    else
        nb_write(&w,
                 "\"quant_method\":\"gptq\",\"bits\":%u,\"group_size\":%d,\"sym\":%s,\"desc_act\":%s,"
                 "\"checkpoint_format\":\"%s\"}}",
                 f->bits, f->group ? (int32_t)f->group : -1, symmetric,
                 m.order == NB_ORDER_ACTIVATION ? "true" : "false", f->format == NB_FORMAT_GPTQ ? "gptq" : "gptq_v2");
    return w.length;
}

typedef struct tensor {
    const char *name, *dtype;
    uint32_t shape[2], part; /* NB_PART_...; above: the groups of columns */
} tensor;

enum { GROUPS_OF_COLUMNS = NB_PART_SCALES + 1 };

/* Lists the tensors of the format. Returns how many. */
static uint32_t list_tensors(tensor *t) {
    uint32_t bits = m.format.bits, groups = m.groups;
    if (m.format.format == NB_FORMAT_COMPRESSED) {
        t[0] = (tensor){"weight_packed", "I32", {ROWS, COLUMNS * bits / 32}, NB_PART_CODES};
        t[1] = (tensor){"weight_scale", "F16", {ROWS, groups}, NB_PART_SCALES};
        t[2] = (tensor){"weight_zero_point", "I32", {ROWS * bits / 32, groups}, NB_PART_ZEROS};
        return m.format.symmetric ? 2 : 3;
    }
    t[0] = (tensor){"qweight", "I32", {COLUMNS * bits / 32, ROWS}, NB_PART_CODES};
    t[1] = (tensor){"qzeros", "I32", {groups, ROWS * bits / 32}, NB_PART_ZEROS};
    t[2] = (tensor){"scales", "F16", {groups, ROWS}, NB_PART_SCALES};
    t[3] = (tensor){"g_idx", "I32", {COLUMNS, 1}, GROUPS_OF_COLUMNS};
    return 4;
}

static size_t write_weights(uint8_t *out) {
    const void *values[] = {m.codes, m.zeros, m.scales};
    tensor tensors[4];
    uint32_t n = list_tensors(tensors), at = 0;
    nb_writer w = nb_writer_over((char *)out + 8, ROOM - 8);
    for (uint32_t i = 0; i < n; i++) {
        const tensor *t = &tensors[i];
        uint32_t bytes = t->shape[0] * t->shape[1] * (t->part == NB_PART_SCALES ? 2 : 4);
        nb_write(&w, "%s\"model.layers.0.mlp.down_proj.%s\":{\"dtype\":\"%s\",\"shape\":[%u", i ? "," : "{", t->name,
                 t->dtype, t->shape[0]);
        if (t->part != GROUPS_OF_COLUMNS)
            nb_write(&w, ",%u", t->shape[1]);
        nb_write(&w, "],\"data_offsets\":[%u,%u]}", at, at + bytes);
        at += bytes;
    }
    nb_write(&w, "}");
    uint64_t length = w.length;
    memcpy(out, &length, sizeof length);
    uint8_t *to = out + 8 + length;
    for (uint32_t i = 0; i < n; i++) {
        nb_error err = {0};
        const tensor *t = &tensors[i];
        uint32_t bytes = t->shape[0] * t->shape[1] * (t->part == NB_PART_SCALES ? 2 : 4);
        if (t->part == GROUPS_OF_COLUMNS) {
            memcpy(to, m.columns, bytes);
        } else {
            static _Alignas(4) uint8_t packed[ROWS * COLUMNS];
            CHECK(nb_quantizer_part_bytes(&m.format, t->part, ROWS, COLUMNS) == bytes, "%s has %u bytes", t->name,
                  bytes);
            CHECK(nb_quantizer_pack(&m.format, t->part, values[t->part], ROWS, COLUMNS, packed, &err) == NB_OK, "%s",
                  err.message);
            memcpy(to, packed, bytes);
        }
        to += bytes;
    }
    return (size_t)(to - out);
}

/* ---- the GGUF --------------------------------------------------------------------------------------------------- */

typedef struct output {
    uint8_t *bytes;
    size_t size;
} output;

static int32_t give(nb_converter *x, const uint8_t *bytes, size_t n, output *out, nb_error *err) {
    for (size_t at = 0, capacity; at < n;) {
        uint8_t *space = nb_converter_space(x, &capacity);
        if (!capacity)
            break;
        capacity = NB_MIN(capacity, n - at);
        memcpy(space, bytes + at, capacity);
        at += capacity;
        NB_TRY(nb_converter_commit(x, capacity, err));
        const uint8_t *ready;
        for (int32_t some; (some = nb_converter_take(x, &ready, err)) != 0; out->size += (size_t)some) {
            NB_TRY(some);
            memcpy(out->bytes + out->size, ready, (size_t)some);
        }
    }
    return NB_OK;
}

static int32_t convert(const char *config, size_t config_bytes, const uint8_t *weights, size_t n, output *out,
                       nb_error *err) {
    nb_converter *x = nb_converter_new(NB_CONVERT_ALL, err);
    const uint8_t *files[] = {(const uint8_t *)config, weights}, *ready;
    const char *names[] = {"config.json", "model.safetensors"};
    int32_t code = NB_OK;
    for (int i = 0; i < 2 && code >= 0; i++) {
        code = nb_converter_begin(x, names[i], nb_length(names[i]), (double)(i ? n : config_bytes), err);
        code = code < 0 ? code : give(x, files[i], i ? n : config_bytes, out, err);
        code = code < 0 ? code : nb_converter_end(x, err);
    }
    double offset;
    while (code >= 0 && (code = nb_converter_next(x, &offset, err)) > 0) {
        for (int32_t some; (some = nb_converter_take(x, &ready, err)) > 0; out->size += (size_t)some)
            memcpy(out->bytes + out->size, ready, (size_t)some);
        code = give(x, weights + (size_t)offset, n - (size_t)offset, out, err);
    }
    for (int32_t some; code >= 0 && (some = nb_converter_take(x, &ready, err)) > 0; out->size += (size_t)some)
        memcpy(out->bytes + out->size, ready, (size_t)some);
    nb_converter_free(x);
    return code;
}

/* The matrix in the GGUF: its columns may be in another order there. */
static void check_gguf(const output *out) {
    nb_error err = {0};
    nb_gguf g = {.file_bytes = out->size};
    nb_checkpoint c = {0};
    static float got[ROWS * COLUMNS];
    const nb_tensor_info *t = NULL, *order = NULL;
    if (CHECK(nb_gguf_parse(&g, &c, out->bytes, out->size, &err) == NB_GGUF_DONE, "%s", err.message)) {
        c.header = out->bytes;
        c.header_size = g.at;
        t = nb_checkpoint_find_tensor(&c, "blk.0.ffn_down.weight");
        order = nb_checkpoint_find_tensor(&c, "blk.0.ffn_down.order");
    }
    if (CHECK(t && t->shape[0] == COLUMNS && t->shape[1] == ROWS && t->at + t->bytes <= out->size, "no matrix") &&
        CHECK((order != NULL) == (m.order == NB_ORDER_ACTIVATION), "an order of columns")) {
        uint8_t *aligned = nb_alloc((size_t)t->bytes);
        memcpy(aligned, out->bytes + t->at, (size_t)t->bytes);
        nb_traits_of(t->type)->dequantize(aligned, got, ROWS * COLUMNS);
        nb_free(aligned);
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < ROWS * COLUMNS; i++) {
            uint32_t column = i % COLUMNS;
            if (order)
                memcpy(&column, out->bytes + order->at + 4 * (size_t)column, 4);
            float want = m.values[i / COLUMNS * COLUMNS + column];
            /* Q4_1's minimum is a half, and F16 are halves: 2^-11 of a weight of 3/32 */
            wrong += !(__builtin_fabsf(got[i] - want) <= 0x1p-11f * 3 / 32);
        }
        CHECK(wrong == 0, "format %u, %u bits, group %u, order %u, %s: %u weights differ", m.format.format,
              m.format.bits, m.format.group, m.order, nb_traits_of(t->type)->name, wrong);
    }
    nb_free(c.values);
    nb_free(c.tensors);
}

static void check_folder(nb_code_format format, uint32_t order) {
    static char config[TEXT];
    uint8_t *weights = nb_alloc(ROOM);
    output out = {nb_alloc(2 * ROOM), 0};
    nb_error err = {0};
    if (quantize(format, order)) {
        size_t config_bytes = write_config(config), n = write_weights(weights);
        if (CHECK(convert(config, config_bytes, weights, n, &out, &err) >= 0, "%s", err.message))
            check_gguf(&out);
    }
    nb_free(weights);
    nb_free(out.bytes);
}

void test_gptq_folder(void) {
    for (uint32_t symmetric = 0; symmetric < 2; symmetric++)
        for (uint32_t format = NB_FORMAT_GPTQ; format <= NB_FORMAT_COMPRESSED; format++) {
            check_folder((nb_code_format){format, 4, 32, symmetric, 0, 0}, NB_ORDER_GROUP_AWARE);
            check_folder((nb_code_format){format, 8, 64, symmetric, 0, 0}, NB_ORDER_NATURAL);
            check_folder((nb_code_format){format, 2, 64, symmetric, 2, 0}, NB_ORDER_STATIC);
            if (format != NB_FORMAT_COMPRESSED) {
                check_folder((nb_code_format){format, 3, 0, symmetric, 0, 0}, NB_ORDER_NATURAL);
                check_folder((nb_code_format){format, 4, 32, symmetric, 0, 0}, NB_ORDER_ACTIVATION);
            }
        }
}
