/* GGUFs that have only some of a model's tensors, made one after the other by one converter: the tensors that are there
 * have the bytes of the whole GGUF, and weights that nobody needs are not read. */
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/formats/gguf.h"
#include "../../src/nibble_convert.h"
#include "../../src/types/types.h"
#include "check.h"

enum { LAYERS = 3, FILES = 2, ROWS = 300, COLUMNS = 1024, MATRIX = 4 * ROWS * COLUMNS, ROOM = 5 * MATRIX };

static const char config[] = "{\"model_type\":\"llama\",\"hidden_size\":32,\"num_hidden_layers\":3,"
                             "\"intermediate_size\":64,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
                             "\"max_position_embeddings\":128}";

typedef struct file {
    uint8_t *bytes;
    size_t size;
} file;

/* The layers' matrices "down" lie in the first file and "up" in the second, each followed by a norm. */
static file write_file(int number) {
    file f = {.bytes = nb_alloc(ROOM)};
    nb_writer w = nb_writer_over((char *)f.bytes + 8, ROOM - 8);
    uint64_t at = 0;
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        nb_write(&w, "%s\"model.layers.%u.mlp.%s_proj.weight\":", layer ? "," : "{", layer, number ? "up" : "down");
        nb_write(&w, "{\"dtype\":\"F32\",\"shape\":[%u,%u],\"data_offsets\":[%l,%l]}", (uint32_t)ROWS,
                 (uint32_t)COLUMNS, at, at + MATRIX);
        at += MATRIX;
        nb_write(&w, ",\"model.layers.%u.%s_layernorm.weight\":", layer, number ? "input" : "post_attention");
        nb_write(&w, "{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[%l,%l]}", at, at + 20);
        at += 20;
    }
    nb_write(&w, "}");
    uint64_t length = w.length;
    memcpy(f.bytes, &length, sizeof length);
    f.size = (size_t)(8 + length + at);
    CHECK(f.size <= ROOM, "the file has no room");
    for (uint64_t i = 0; i < at; i += 4) {
        float x = (float)(number + 1) * (float)(i % 65536) / 1000;
        memcpy(f.bytes + 8 + length + i, &x, sizeof x);
    }
    return f;
}

static int32_t give_header(nb_converter *x, const char *name, const uint8_t *bytes, size_t size, nb_error *err) {
    size_t capacity;
    NB_TRY(nb_converter_begin(x, name, nb_length(name), (double)size, err));
    uint8_t *space = nb_converter_space(x, &capacity);
    size_t n = NB_MIN(size, capacity);
    memcpy(space, bytes, n);
    NB_TRY(nb_converter_commit(x, n, err));
    return nb_converter_end(x, err);
}

/* Appends what is ready. */
static int32_t drain(nb_converter *x, file *out, nb_error *err) {
    const uint8_t *at;
    int32_t n;
    for (; (n = nb_converter_take(x, &at, err)) > 0; out->size += (size_t)n)
        if (CHECK(out->size + (size_t)n <= FILES * ROOM, "the GGUF is too long"))
            memcpy(out->bytes + out->size, at, (size_t)n);
    return n;
}

/* Makes the GGUF; returns how many bytes of the files were given, or an error's code. */
static int32_t make(nb_converter *x, const file *files, file *out, nb_error *err) {
    enum { PIECE = 100000 };
    int32_t given = 0, number;
    double offset;
    out->size = 0;
    while ((number = nb_converter_next(x, &offset, err)) > 0) {
        NB_TRY(drain(x, out, err));
        const file *f = &files[number - 1];
        size_t at = (size_t)offset, capacity;
        for (uint8_t *space; at < f->size && (space = nb_converter_space(x, &capacity), capacity);) {
            size_t n = NB_MIN(NB_MIN(capacity, PIECE), f->size - at);
            memcpy(space, f->bytes + at, n);
            at += n;
            given += (int32_t)n;
            NB_TRY(nb_converter_commit(x, n, err));
            NB_TRY(drain(x, out, err));
        }
    }
    NB_TRY(number);
    NB_TRY(drain(x, out, err));
    CHECK((double)out->size == nb_converter_total(x), "%z bytes, of %g", out->size, nb_converter_total(x));
    return given;
}

static bool is_of_layer(const nb_planned_tensor *t, char layer) {
    return t->name_bytes > 4 && t->name[4] == layer; /* blk.N. */
}

/* What the GGUF has of tensor i. */
typedef uint32_t choice(const nb_planned_tensor *tensor);

static uint32_t only_layer_1(const nb_planned_tensor *t) {
    return is_of_layer(t, '1') ? NB_TENSOR_MADE : NB_TENSOR_ABSENT;
}

static uint32_t blank_matrices(const nb_planned_tensor *t) {
    return t->rows > 1 ? NB_TENSOR_BLANK : NB_TENSOR_MADE;
}

static uint32_t all(const nb_planned_tensor *t) {
    (void)t;
    return NB_TENSOR_MADE;
}

static uint32_t none(const nb_planned_tensor *t) {
    (void)t;
    return NB_TENSOR_ABSENT;
}

typedef struct partial {
    choice *choose;
    int32_t least, most; /* bytes of the files that it needs, and that may be read */
} partial;

/* Whether the header is in order, and tells of the tensors what the plan does. */
static void check_header(nb_converter *x, const file *made, int32_t n_tensors, choice *choose) {
    nb_error err = {0};
    nb_gguf gguf = {.file_bytes = made->size};
    nb_checkpoint c = {0};
    CHECK(nb_gguf_parse(&gguf, &c, made->bytes, made->size, &err) == NB_GGUF_DONE, "%s", err.message);
    CHECK(nb_checkpoint_keep_header(&c, made->bytes, gguf.at, &err) == NB_OK, "%s", err.message);
    uint64_t there = 0;
    for (int32_t i = 0; i < n_tensors; i++) {
        nb_planned_tensor t;
        CHECK(nb_converter_planned(x, (uint32_t)i, &t, &err) == NB_OK, "%s", err.message);
        const nb_tensor_info *info = nb_checkpoint_find_tensor(&c, t.name);
        bool absent = choose(&t) == NB_TENSOR_ABSENT;
        there += !absent;
        CHECK(!info == absent, "%s is there: %d", t.name, info != NULL);
        CHECK(info ? t.at == (double)info->at && t.bytes == (double)info->bytes : t.at == 0, "%s lies at %g", t.name,
              t.at);
        CHECK(t.columns == (t.rows > 1 ? COLUMNS : 5) && t.matrices == 1, "%s: %u columns", t.name, t.columns);
        CHECK(test_contains(t.source_name, t.rows > 1 ? "_proj" : "layernorm"), "%s", t.source_name);
    }
    CHECK(c.n_tensors == there, "%l tensors, not %l", c.n_tensors, there);
    nb_checkpoint_free(&c);
}

/* whole: all that the planned tensors are, and where. */
static void check_bytes(nb_converter *x, const file *made, const file *whole, const double *places, int32_t n_tensors,
                        choice *choose) {
    nb_error err = {0};
    for (int32_t i = 0; i < n_tensors; i++) {
        nb_planned_tensor t;
        nb_converter_planned(x, (uint32_t)i, &t, &err);
        uint32_t how = choose(&t);
        const uint8_t *bytes = made->bytes + (size_t)t.at, *expected = whole->bytes + (size_t)places[i];
        for (size_t k = 0; how != NB_TENSOR_ABSENT && k < (size_t)t.bytes; k++)
            if (bytes[k] != (how == NB_TENSOR_BLANK ? 0 : expected[k])) {
                CHECK(false, "%s differs at byte %z", t.name, k);
                break;
            }
    }
}

static void include(nb_converter *x, int32_t n_tensors, choice *choose) {
    nb_error err = {0};
    for (int32_t i = 0; i < n_tensors; i++) {
        nb_planned_tensor t;
        CHECK(nb_converter_planned(x, (uint32_t)i, &t, &err) == NB_OK, "%s", err.message);
        CHECK(nb_converter_include(x, (uint32_t)i, choose(&t), &err) == NB_OK, "%s", err.message);
    }
}

static nb_converter *begin(const file *files) {
    nb_error err = {0};
    nb_converter *x = nb_converter_new(NB_CONVERT_ALL, &err);
    CHECK(give_header(x, "config.json", (const uint8_t *)config, sizeof config - 1, &err) == NB_OK, "%s", err.message);
    CHECK(give_header(x, "model-1.safetensors", files[0].bytes, files[0].size, &err) == NB_OK, "%s", err.message);
    CHECK(give_header(x, "model-2.safetensors", files[1].bytes, files[1].size, &err) == NB_OK, "%s", err.message);
    return x;
}

/* Columns in 16 bits beside a matrix: two tensors more, in whose places are zeros. */
static void test_outliers_planned(nb_converter *x, const file *files, int32_t n, file *made) {
    nb_error err = {0};
    nb_planned_tensor t = {0}, kept = {0}, list = {0};
    uint32_t matrix = 0, vector = 0;
    for (int32_t i = 0; i < n; i++) {
        CHECK(nb_converter_planned(x, (uint32_t)i, &t, &err) == NB_OK, "%s", err.message);
        *(t.rows > 1 ? &matrix : &vector) = (uint32_t)i;
    }
    CHECK(nb_converter_outliers(x, (uint32_t)n, 3, &err) == NB_ERR_ARGUMENT, "there is no such tensor");
    CHECK(nb_converter_outliers(x, vector, 3, &err) == NB_ERR_ARGUMENT, "a vector");
    CHECK(nb_converter_outliers(x, matrix, 0, &err) == NB_ERR_ARGUMENT, "no columns");
    CHECK(nb_converter_outliers(x, matrix, COLUMNS + 1, &err) == NB_ERR_ARGUMENT, "more than there are");
    CHECK(nb_converter_outliers(x, matrix, 3, &err) == NB_OK, "%s", err.message);
    CHECK(nb_converter_plan(x, &err) == n + 2, "%s", err.message);
    CHECK(make(x, files, made, &err) >= 0, "%s", err.message);
    CHECK(nb_converter_outliers(x, matrix, 3, &err) == NB_ERR_STATE, "%s", err.message);
    CHECK(nb_converter_planned(x, matrix, &t, &err) == NB_OK, "%s", err.message);
    CHECK(nb_converter_planned(x, (uint32_t)n, &kept, &err) == NB_OK &&
              nb_converter_planned(x, (uint32_t)n + 1, &list, &err) == NB_OK,
          "%s", err.message);
    CHECK(test_contains(kept.name, ".outliers") && kept.type == NB_TYPE_F16 && kept.columns == 3 &&
              kept.rows == t.rows && kept.bytes == 6.0 * t.rows && kept.at > 0,
          "%s [%u, %u]", kept.name, kept.columns, kept.rows);
    CHECK(test_contains(list.name, ".outlier_columns") && list.type == NB_TYPE_I32 && list.columns == 3 &&
              list.rows == 1 && list.bytes == 12,
          "%s [%u, %u]", list.name, list.columns, list.rows);
    for (size_t i = 0; i < (size_t)kept.bytes; i++)
        CHECK(!made->bytes[(size_t)kept.at + i], "byte %z is not 0", i);
    CHECK(nb_converter_again(x, &err) == NB_OK, "%s", err.message);
    CHECK(nb_converter_outliers(x, matrix, 3, &err) == NB_ERR_FORMAT, "twice");
}

/* The first and last rows, neighbours, and some that lie apart. */
static void test_picked(nb_converter *x, const file *files, const file *whole, const double *places, int32_t n,
                        file *made) {
    enum { PICKED = 5 };
    static const uint32_t rows[PICKED] = {0, 7, 8, 260, ROWS - 1};
    nb_error err = {0};
    nb_planned_tensor t;
    int32_t before = 0, matrix = 0, vector = 0; /* the last two matrices, the last vector */
    for (int32_t i = 0; i < n; i++) {
        CHECK(nb_converter_planned(x, (uint32_t)i, &t, &err) == NB_OK, "%s", err.message);
        before = t.rows > 1 ? matrix : before;
        *(t.rows > 1 ? &matrix : &vector) = i;
    }
    uint32_t m = (uint32_t)matrix;
    CHECK(nb_converter_pick(x, m, rows, PICKED, &err) == NB_ERR_STATE, "a GGUF was begun");
    CHECK(nb_converter_again(x, &err) == NB_OK, "%s", err.message);
    CHECK(nb_converter_pick(x, m, (uint32_t[]){ROWS}, 1, &err) == NB_ERR_ARGUMENT, "there is no such row");
    CHECK(nb_converter_pick(x, m, (uint32_t[]){3, 3}, 2, &err) == NB_ERR_ARGUMENT, "a row twice");
    CHECK(nb_converter_pick(x, m, (uint32_t[]){4, 3}, 2, &err) == NB_ERR_ARGUMENT, "rows go back");
    CHECK(nb_converter_pick(x, (uint32_t)n, rows, 1, &err) == NB_ERR_ARGUMENT, "there is no such tensor");
    CHECK(nb_converter_pick(x, (uint32_t)vector, rows, 1, &err) == 0, "a vector has no rows");
    CHECK(nb_converter_pick(x, m, rows, 0, &err) == 0, "no rows");
    CHECK(nb_converter_pick(x, m, rows, PICKED, &err) == 1, "%s", err.message);
    CHECK(nb_converter_pick(x, (uint32_t)before, rows + 1, 1, &err) == 1, "%s", err.message);
    CHECK(nb_converter_pick(x, m, rows, PICKED, &err) == NB_ERR_STATE, "they are picked");
    for (int32_t again = 0; again < 2; again++) {
        CHECK(make(x, files, made, &err) >= 0, "%s", err.message);
        CHECK(nb_converter_planned(x, m, &t, &err) == NB_OK, "%s", err.message);
        CHECK(t.rows == PICKED && t.bytes == PICKED * 4 * COLUMNS, "%u rows, %g bytes", t.rows, t.bytes);
        for (int i = 0; i < PICKED; i++)
            CHECK(nb_compare(made->bytes + (size_t)t.at + (size_t)i * 4 * COLUMNS,
                             whole->bytes + (size_t)places[matrix] + (size_t)rows[i] * 4 * COLUMNS, 4 * COLUMNS) == 0,
                  "row %u differs", rows[i]);
        CHECK(nb_converter_planned(x, (uint32_t)before, &t, &err) == NB_OK, "%s", err.message);
        CHECK(nb_compare(made->bytes + (size_t)t.at, whole->bytes + (size_t)places[before] + 7 * 4 * COLUMNS,
                         4 * COLUMNS) == 0 &&
                  t.rows == 1,
              "a single row");
        CHECK(nb_converter_total(x) == (double)made->size, "%g bytes, not %z", nb_converter_total(x), made->size);
        CHECK(nb_converter_planned(x, (uint32_t)vector, &t, &err) == NB_OK, "%s", err.message);
        CHECK(nb_compare(made->bytes + (size_t)t.at, whole->bytes + (size_t)places[vector], 20) == 0, "%s", t.name);
        CHECK(nb_converter_again(x, &err) == NB_OK, "%s", err.message);
    }
}

void test_parts(void) {
    enum { TENSORS = 4 * LAYERS };
    static const partial partials[] = {
        {only_layer_1, 2 * (MATRIX + 20), 2 * MATRIX + (1 << 20)},
        {blank_matrices, 4 * LAYERS * 5, 1 << 20},
        {none, 0, 0},
        {all, 2 * LAYERS * (MATRIX + 20), 2 * LAYERS * (MATRIX + 20)},
    };
    nb_error err = {0};
    file files[FILES] = {write_file(0), write_file(1)};
    file whole = {.bytes = nb_alloc(FILES * ROOM)}, made = {.bytes = nb_alloc(FILES * ROOM)};
    nb_converter *x = begin(files);
    int32_t n = nb_converter_plan(x, &err);
    CHECK(n == TENSORS, "%d tensors: %s", n, err.message);
    CHECK(nb_converter_again(x, &err) == NB_ERR_STATE, "nothing was begun yet");
    CHECK(make(x, files, &whole, &err) >= 0, "%s", err.message);
    CHECK(nb_converter_include(x, 0, NB_TENSOR_BLANK, &err) == NB_ERR_STATE, "it is made already");
    double places[TENSORS];
    for (int32_t i = 0; i < n; i++) {
        nb_planned_tensor t;
        nb_converter_planned(x, (uint32_t)i, &t, &err);
        places[i] = t.at;
    }
    for (size_t i = 0; i < sizeof partials / sizeof *partials; i++) {
        const partial *p = &partials[i];
        CHECK(nb_converter_again(x, &err) == NB_OK, "%s", err.message);
        include(x, n, p->choose);
        int32_t given = make(x, files, &made, &err);
        CHECK(given >= p->least && given <= p->most, "%d bytes were read, %s", given, err.message);
        check_header(x, &made, n, p->choose);
        check_bytes(x, &made, &whole, places, n, p->choose);
    }
    CHECK(made.size == whole.size && nb_compare(made.bytes, whole.bytes, made.size) == 0, "it is not as it was first");
    test_picked(x, files, &whole, places, n, &made);
    CHECK(nb_converter_include(x, TENSORS, NB_TENSOR_MADE, &err) == NB_ERR_ARGUMENT, "there is no such tensor");
    CHECK(nb_converter_include(x, 0, 3, &err) == NB_ERR_ARGUMENT, "there is no such way");
    test_outliers_planned(x, files, n, &made);
    nb_converter_free(x);
    for (int i = 0; i < FILES; i++)
        nb_free(files[i].bytes);
    nb_free(whole.bytes);
    nb_free(made.bytes);
}
