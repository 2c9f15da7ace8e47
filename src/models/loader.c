/* Bytes in, model out. The header is gathered in one growing buffer; as soon as it is whole, everything that can be
 * wrong with the model is known (architecture, tokenizer, shapes, memory) and said, before the weights are fetched.
 * From then on each piece lands in a staging buffer, whole groups of rows are packed straight into their places, and
 * what is left of a group waits for the next piece. Of a model of several files all headers come first, and the weights
 * file by file after that. */
#include "../base/cursor.h"
#include "../base/numbers.h"
#include "../formats/columns.h"
#include "../formats/gguf.h"
#include "../formats/safetensors.h"
#include "../kernels/traits.h"
#include "huggingface.h"
#include "model.h"

enum { FIRST_HEADER = 1 << 20, STAGING = 1 << 20, MOST_DOCUMENT = 1 << 28, MOST_PARTS = 10000 };

/* Files that are taken whole. */
enum { CONFIG, GENERATION, TOKENIZER, TOKENIZER_CONFIG, CHAT_TEMPLATE, DOCUMENTS };
static const char *const document_names[DOCUMENTS] = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"};

typedef struct document {
    uint8_t *bytes; /* owned; NULL: not given */
    size_t size;
} document;

struct nb_loader {
    nb_model *model; /* until it is taken by nb_loader_finish */
    nb_gguf gguf;
    uint32_t flags;
    double told;                  /* the file's size, 0: not known; of several, the one at hand */
    enum { HEADER, BETWEEN, WEIGHTS, COMPLETE, FAILED } stage; /* BETWEEN: two of several files */
    uint8_t *buffer;              /* HEADER: the file so far; WEIGHTS: what is not packed yet */
    size_t capacity, filled;
    uint64_t file_at;             /* WEIGHTS: offset in the file of buffer[0] */
    nb_destination *destinations; /* [n_tensors] */
    uint64_t tensor;              /* being filled */
    uint64_t rows_done;           /* of it; of a part of a matrix, units (columns.h) */
    uint8_t *codes;               /* 32 columns of a quantized matrix, unpacked */

    bool several, open, planned;  /* a model of several files; one of them has begun; all headers are there */
    char name[128];               /* of the one at hand */
    int32_t kind;                 /* of the one at hand: a document, or DOCUMENTS: weights */
    enum { UNKNOWN, GGUF, SAFETENSORS } format; /* of the weights */
    uint32_t parts;               /* files of weights so far */
    nb_checkpoint part;           /* of a GGUF whose header is being read */
    nb_composer composer;         /* of a folder */
    document documents[DOCUMENTS];
};

nb_loader *nb_loader_new(double total_bytes, uint32_t flags, nb_error *err) {
    if (!(total_bytes >= 0 && total_bytes < 0x1p53))
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "a file cannot have %g bytes", total_bytes);
    nb_loader *l = nb_alloc(sizeof *l);
    nb_model *m = nb_alloc(sizeof *m);
    uint8_t *buffer = nb_alloc(FIRST_HEADER);
    if (!l || !m || !buffer) {
        nb_free(l);
        nb_free(m);
        nb_free(buffer);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory to begin loading");
    }
    *m = (nb_model){0};
    *l = (nb_loader){.model = m, .flags = flags, .told = total_bytes, .buffer = buffer, .capacity = FIRST_HEADER};
    /* A file that is only inspected may be cut off after its header. */
    l->gguf.file_bytes = flags & NB_LOAD_HEADER ? 0 : (uint64_t)total_bytes;
    l->composer.c = &m->checkpoint;
    return l;
}

void nb_loader_free(nb_loader *l) {
    if (!l)
        return;
    nb_model_free(l->model);
    nb_free(l->buffer);
    nb_free(l->destinations);
    nb_free(l->codes);
    nb_checkpoint_free(&l->part);
    for (int i = 0; i < DOCUMENTS; i++)
        nb_free(l->documents[i].bytes);
    nb_free(l);
}

double nb_loader_total(const nb_loader *l) {
    if (l->several)
        return l->planned && l->model ? (double)l->model->checkpoint.total_bytes : 0;
    return l->told > 0 || l->stage == HEADER || !l->model ? l->told : (double)l->model->checkpoint.total_bytes;
}

uint8_t *nb_loader_space(nb_loader *l, size_t *capacity) {
    *capacity = l->stage == HEADER || l->stage == WEIGHTS ? l->capacity - l->filled : 0;
    return l->buffer + l->filled;
}

/* Bytes of the file that make one unit of packing: a group of rows of a matrix, or a whole vector. */
static uint64_t unit_bytes(const nb_loader *l, uint64_t tensor) {
    const nb_tensor_info *info = &l->model->checkpoint.tensors[tensor];
    const nb_matrix *m = l->destinations[tensor].matrix;
    if (info->part)
        return nb_columns_unit(&l->model->checkpoint.quantization, info->part, m->rows, m->columns);
    return m ? info->bytes / (info->shape[1] * info->shape[2]) * nb_group_rows(info->type) : info->bytes;
}

/* A vector becomes F32. The buffer may hold it at any address, and blocks are read as structs: hence the copy. */
static int32_t fill_vector(const nb_tensor_info *info, const uint8_t *bytes, float *out, nb_error *err) {
    void *aligned = nb_alloc((size_t)info->bytes);
    if (!aligned)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to load the model");
    memcpy(aligned, bytes, (size_t)info->bytes);
    nb_traits_of(info->type)->dequantize(aligned, out, (size_t)(info->shape[0] * info->shape[1]));
    nb_free(aligned);
    for (uint64_t i = 0; info->shift != 0 && i < info->shape[0]; i++)
        out[i] += info->shift;
    return NB_OK;
}

/* Whether another part of the matrix came before this tensor. */
static bool came_before(const nb_loader *l, uint32_t part) {
    for (uint64_t i = 0; i < l->tensor; i++)
        if (l->model->checkpoint.tensors[i].part == part &&
            l->destinations[i].matrix == l->destinations[l->tensor].matrix)
            return true;
    return false;
}

/* m = -d z, where the type has a minimum. Zeros wait in the place of m, if they come first: they usually do. */
static void join_scales(nb_matrix *m, uint32_t tile, uint16_t *halves, bool are_zeros) {
    for (uint32_t row = 0; row < m->rows; row++) {
        float other = nb_f16_to_f32(nb_matrix_scale(m, tile, are_zeros ? 0 : 1, row));
        halves[row] = nb_f32_to_f16(-nb_f16_to_f32(halves[row]) * other);
    }
}

static int32_t fill_unit(nb_loader *l, const uint8_t *bytes, nb_error *err) {
    const nb_checkpoint *c = &l->model->checkpoint;
    const nb_quantization *q = &c->quantization;
    const nb_tensor_info *info = &c->tensors[l->tensor];
    nb_matrix *m = l->destinations[l->tensor].matrix;
    uint32_t unit = (uint32_t)l->rows_done, middle = 1u << (q->bits - 1), rows = m->rows;
    uint32_t tiles = (q->group ? q->group : m->columns) / NB_UNIT_COLUMNS, from = unit * tiles, to = from + tiles;
    uint16_t *halves = (uint16_t *)l->codes;
    switch (info->part) {
    case NB_PART_CODES:
        nb_columns_codes(q, bytes, rows, l->codes);
        for (size_t i = 0; q->symmetric && q->bits < 4 && i < (size_t)rows * NB_UNIT_COLUMNS; i++)
            l->codes[i] = (uint8_t)(l->codes[i] + 8 - middle); /* Q4_0's zero is 8 */
        nb_matrix_pack_tile(m, unit, l->codes);
        break;
    case NB_PART_SCALES:
        memcpy(halves, bytes, rows * sizeof *halves);
        nb_matrix_pack_scales(m, from, to, 0, halves);
        if (!q->symmetric && came_before(l, NB_PART_ZEROS)) {
            join_scales(m, from, halves, false);
            nb_matrix_pack_scales(m, from, to, 1, halves);
        }
        break;
    case NB_PART_ZEROS: {
        uint8_t *zeros = l->codes + rows * sizeof *halves;
        nb_columns_zeros(q, bytes, rows, zeros);
        for (uint32_t row = 0; row < rows; row++) {
            if (q->symmetric && zeros[row] != middle)
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "tensor %t has the zero %u, but quantization_config says that all are %u (sym)",
                               nb_checkpoint_tensor_name(c, info), (uint32_t)zeros[row], middle);
            halves[row] = nb_f32_to_f16(zeros[row]);
        }
        if (q->symmetric)
            break;
        if (came_before(l, NB_PART_SCALES))
            join_scales(m, from, halves, true);
        nb_matrix_pack_scales(m, from, to, 1, halves);
        break;
    }
    default: /* NB_PART_ORDER */
        for (uint32_t i = 0; i < m->columns; i++) {
            uint32_t group;
            memcpy(&group, bytes + 4 * i, sizeof group);
            if (group != i / (tiles * NB_UNIT_COLUMNS))
                return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                               "tensor %t has columns of other groups between each other (desc_act), which is not "
                               "supported; take a version of the model without",
                               nb_checkpoint_tensor_name(c, info));
        }
    }
    return NB_OK;
}

/* Packs as much as `size` bytes at `bytes` hold of the current tensor; *used says how much that was. */
static int32_t fill_tensor(nb_loader *l, const uint8_t *bytes, size_t size, size_t *used, nb_error *err) {
    const nb_tensor_info *info = &l->model->checkpoint.tensors[l->tensor];
    nb_destination to = l->destinations[l->tensor];
    *used = 0;
    if (to.vector) {
        if (size >= info->bytes) {
            NB_TRY(fill_vector(info, bytes, *to.vector, err));
            *used = (size_t)info->bytes;
            l->tensor++;
        }
        return NB_OK;
    }
    nb_matrix *m = to.matrix;
    if (info->part) {
        uint64_t unit = unit_bytes(l, l->tensor);
        for (; l->rows_done < info->bytes / unit; l->rows_done++, *used += (size_t)unit) {
            if (size - *used < unit)
                return NB_OK;
            NB_TRY(fill_unit(l, bytes + *used, err));
        }
        l->tensor++;
        l->rows_done = 0;
        return NB_OK;
    }
    size_t row_bytes = (size_t)(info->bytes / m->rows);
    while (l->rows_done < m->rows) {
        uint64_t rows = NB_MIN(nb_group_rows(info->type), m->rows - l->rows_done);
        if (size - *used < rows * row_bytes)
            return NB_OK;
        nb_matrix_pack(m, (uint32_t)l->rows_done, bytes + *used);
        *used += (size_t)rows * row_bytes;
        l->rows_done += rows;
    }
    l->tensor++;
    l->rows_done = 0;
    return NB_OK;
}

static int32_t fill(nb_loader *l, nb_error *err) {
    const nb_checkpoint *c = &l->model->checkpoint;
    size_t at = 0;
    uint32_t file = c->tensors[l->tensor].file;
    while (l->tensor < c->n_tensors && c->tensors[l->tensor].file == file) {
        const nb_tensor_info *info = &c->tensors[l->tensor];
        if (!l->rows_done && l->file_at + at < info->at) { /* alignment, or a gap */
            at += (size_t)NB_MIN(info->at - l->file_at - at, l->filled - at);
            if (l->file_at + at < info->at)
                break;
        }
        uint64_t tensor = l->tensor;
        size_t used;
        NB_TRY(fill_tensor(l, l->buffer + at, l->filled - at, &used, err));
        at += used;
        if (l->tensor == tensor)
            break;
    }
    l->filled -= at;
    memmove(l->buffer, l->buffer + at, l->filled);
    l->file_at += at;
    if (l->tensor == c->n_tensors || c->tensors[l->tensor].file != file)
        l->stage = l->several ? BETWEEN : COMPLETE;
    return NB_OK;
}

/* The checkpoint is whole: everything that is not bulk happens here. */
static int32_t open_model(nb_loader *l, nb_error *err) {
    nb_model *m = l->model;
    nb_checkpoint *c = &m->checkpoint;
    nb_error vocabulary_error = {0};
    m->tokenizer = nb_tokenizer_new(c, &vocabulary_error);
    if (vocabulary_error.code && !(l->flags & NB_LOAD_HEADER)) { /* inspecting goes on without */
        if (err)
            *err = vocabulary_error;
        return vocabulary_error.code;
    }
    if (l->flags & NB_LOAD_HEADER || !c->n_tensors) {
        l->stage = COMPLETE;
        return NB_OK;
    }
    l->destinations = nb_alloc((size_t)c->n_tensors * sizeof *l->destinations);
    if (!l->destinations)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l tensors", c->n_tensors);
    memset(l->destinations, 0, (size_t)c->n_tensors * sizeof *l->destinations);
    NB_TRY(nb_model_plan(m, l->destinations, err));
    /* staging: room for the largest unit besides a piece of the file, and for what the header's buffer holds already */
    uint64_t rest = l->several ? 0 : l->filled - c->header_size, largest = 0, rows = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        largest = NB_MAX(largest, unit_bytes(l, i));
        rows = c->tensors[i].part ? NB_MAX(rows, l->destinations[i].matrix->rows) : rows;
    }
    if (rows) {
        l->codes = nb_alloc((size_t)rows * NB_UNIT_COLUMNS);
        if (!l->codes)
            return NB_FAIL(err, NB_ERR_MEMORY, "no memory to unpack %l rows", rows);
    }
    uint64_t capacity = NB_MAX(rest, largest) + STAGING;
    uint8_t *staging = capacity < SIZE_MAX / 2 ? nb_alloc((size_t)capacity) : NULL;
    if (!staging)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a staging buffer of %l bytes", capacity);
    if (rest)
        memcpy(staging, l->buffer + c->header_size, (size_t)rest);
    nb_free(l->buffer);
    l->buffer = staging;
    l->capacity = (size_t)capacity;
    l->filled = (size_t)rest;
    l->file_at = c->header_size;
    return NB_OK;
}

/* One part of a split model is none. */
static int32_t refuse_split(const nb_checkpoint *c, nb_error *err) {
    double count = nb_checkpoint_number(c, "split.count", 0);
    if (count > 1)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is part %g of a model in %g files (NAME-00001-of-0000N.gguf): give all of them",
                       nb_checkpoint_number(c, "split.no", 0) + 1, count);
    return NB_OK;
}

/* The header that the buffer begins with becomes the checkpoint's own. */
static int32_t keep_header(nb_loader *l, nb_checkpoint *c, nb_error *err) {
    c->header_size = l->gguf.at;
    c->header = nb_alloc(c->header_size);
    if (!c->header)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the file's header (%z bytes)", c->header_size);
    memcpy(c->header, l->buffer, c->header_size);
    return NB_OK;
}

static int32_t grow_buffer(nb_loader *l, size_t capacity, nb_error *err) {
    uint8_t *larger = nb_alloc(capacity);
    if (!larger)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the file's header (%z bytes)", capacity);
    memcpy(larger, l->buffer, l->filled);
    nb_free(l->buffer);
    l->buffer = larger;
    l->capacity = capacity;
    return NB_OK;
}

static int32_t gather_header(nb_loader *l, nb_error *err) {
    nb_checkpoint *c = &l->model->checkpoint;
    int32_t code = nb_gguf_parse(&l->gguf, c, l->buffer, l->filled, err);
    NB_TRY(code);
    if (code == NB_GGUF_MORE)
        return l->filled == l->capacity ? grow_buffer(l, 2 * l->capacity, err) : NB_OK;
    NB_TRY(keep_header(l, c, err));
    if (!(l->flags & NB_LOAD_HEADER))
        NB_TRY(refuse_split(c, err));
    NB_TRY(open_model(l, err));
    if (l->stage == COMPLETE)
        return NB_OK;
    l->stage = WEIGHTS;
    return fill(l, err);
}

/* ---- several files --------------------------------------------------------------------------------------------- */

/* A further part's header goes behind those before it, and its tensors too; its values say nothing new. */
static int32_t add_part(nb_loader *l, nb_error *err) {
    nb_checkpoint *c = &l->model->checkpoint, *part = &l->part;
    if (nb_checkpoint_number(part, "split.no", 0) != (double)l->parts)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is part %g of a split model, where part %u is expected: give the parts in their order, "
                       "-00001-of- first",
                       nb_checkpoint_number(part, "split.no", 0) + 1, l->parts + 1);
    for (uint64_t i = 0; i < part->n_tensors; i++)
        part->tensors[i].file = l->parts;
    if (!l->parts) {
        *c = *part;
        *part = (nb_checkpoint){0};
        return NB_OK;
    }
    uint64_t n = c->n_tensors + part->n_tensors, size = c->header_size + part->header_size;
    nb_tensor_info *tensors = nb_alloc((size_t)n * sizeof *tensors);
    uint8_t *header = nb_alloc((size_t)size);
    if (!tensors || !header) {
        nb_free(tensors);
        nb_free(header);
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l tensors", n);
    }
    memcpy(header, c->header, c->header_size);
    memcpy(header + c->header_size, part->header, part->header_size);
    for (uint64_t i = 0; i < n; i++) {
        tensors[i] = i < c->n_tensors ? c->tensors[i] : part->tensors[i - c->n_tensors];
        tensors[i].name_at += i < c->n_tensors ? 0 : c->header_size;
    }
    nb_free(c->header);
    nb_free(c->tensors);
    c->header = header;
    c->header_size = (size_t)size;
    c->tensors = tensors;
    c->n_tensors = c->tensors_capacity = n;
    c->total_bytes += part->total_bytes;
    nb_checkpoint_free(part);
    return NB_OK;
}

static int32_t gather_part(nb_loader *l, nb_error *err) {
    int32_t code = nb_gguf_parse(&l->gguf, &l->part, l->buffer, l->filled, err);
    NB_TRY(code);
    if (code == NB_GGUF_MORE)
        return l->filled == l->capacity ? grow_buffer(l, 2 * l->capacity, err) : NB_OK;
    l->stage = BETWEEN;
    NB_TRY(keep_header(l, &l->part, err));
    return add_part(l, err);
}

static int32_t gather_safetensors(nb_loader *l, nb_error *err) {
    uint64_t bytes, end;
    NB_TRY(nb_safetensors_begin(l->buffer, (uint64_t)l->told, &bytes, err));
    if (l->filled < bytes)
        return l->capacity < bytes ? grow_buffer(l, (size_t)bytes, err) : NB_OK;
    l->composer.err = err;
    NB_TRY(nb_safetensors_parse(&l->composer, l->parts, l->buffer, (size_t)bytes,
                                l->flags & NB_LOAD_HEADER ? 0 : (uint64_t)l->told, &end, err));
    l->model->checkpoint.total_bytes += end;
    l->stage = BETWEEN;
    return NB_OK;
}

/* A piece of one of several files' headers. */
static int32_t gather(nb_loader *l, nb_error *err) {
    if (l->kind < DOCUMENTS) {
        if (l->filled < l->capacity)
            return NB_OK;
        if (l->capacity >= MOST_DOCUMENT)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the file is larger than any of its kind (%u bytes)",
                           (uint32_t)MOST_DOCUMENT);
        return grow_buffer(l, 2 * l->capacity, err);
    }
    if (l->filled < NB_SAFETENSORS_LENGTH)
        return NB_OK;
    bool gguf = nb_compare(l->buffer, "GGUF", 4) == 0 || nb_compare(l->buffer, "FUGG", 4) == 0;
    if (l->format != UNKNOWN && gguf != (l->format == GGUF))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "GGUF and safetensors files do not make one model: give those of one format");
    l->format = gguf ? GGUF : SAFETENSORS;
    return gguf ? gather_part(l, err) : gather_safetensors(l, err);
}

static nb_text name_of(const nb_loader *l) {
    return nb_text_of(l->name);
}

/* Whose fault it was, in front of the message. */
static int32_t with_name(const nb_loader *l, int32_t code, nb_error *err) {
    if (code >= 0 || !l->open || !err)
        return code;
    nb_error plain = *err;
    return NB_FAIL(err, code, "%t: %s", name_of(l), plain.message);
}

int32_t nb_loader_begin(nb_loader *l, const char *name, size_t name_bytes, double total_bytes, nb_error *err) {
    bool fresh = l->stage == HEADER && !l->several && !l->filled;
    if (!fresh && (l->stage != BETWEEN || l->open || l->planned))
        return NB_FAIL(err, NB_ERR_STATE, "no file can begin here: the one before has not ended");
    if (!(total_bytes >= 0 && total_bytes < 0x1p53) || l->parts == MOST_PARTS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a file cannot have %g bytes, nor a model more than %u files", total_bytes,
                       (uint32_t)MOST_PARTS);
    size_t n = NB_MIN(name_bytes, sizeof l->name - 1);
    memcpy(l->name, name, n);
    l->name[n] = 0;
    if (!l->buffer) { /* it went to a document */
        l->buffer = nb_alloc(FIRST_HEADER);
        l->capacity = l->buffer ? FIRST_HEADER : 0;
        if (!l->buffer)
            return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %t", name_of(l));
    }
    l->several = l->open = true;
    l->told = total_bytes;
    l->gguf = (nb_gguf){.file_bytes = l->flags & NB_LOAD_HEADER ? 0 : (uint64_t)total_bytes};
    l->filled = 0;
    l->stage = HEADER;
    for (l->kind = 0; l->kind < DOCUMENTS && !nb_text_is(name_of(l), document_names[l->kind]); l->kind++)
        ;
    if (l->kind < DOCUMENTS && l->documents[l->kind].bytes)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%t is there twice", name_of(l));
    return NB_OK;
}

static int32_t end_file(nb_loader *l, nb_error *err) {
    if (l->kind < DOCUMENTS) {
        l->documents[l->kind] = (document){l->buffer, l->filled};
        l->buffer = NULL;
        l->capacity = l->filled = 0;
        l->stage = BETWEEN;
        return NB_OK;
    }
    if (l->stage == HEADER)
        return NB_FAIL(err, NB_ERR_TRUNCATED,
                       "the file is empty or ends within its header, after %z bytes; fetch it again", l->filled);
    l->parts++;
    l->filled = 0;
    return NB_OK;
}

int32_t nb_loader_end(nb_loader *l, nb_error *err) {
    if (!l->open || l->stage == FAILED)
        return NB_FAIL(err, NB_ERR_STATE, "no file has begun that could end");
    int32_t code = with_name(l, end_file(l, err), err);
    l->stage = code < 0 ? FAILED : BETWEEN;
    l->open = false;
    return code;
}

static int32_t compose_folder(nb_loader *l, nb_error *err) {
    nb_node nodes[DOCUMENTS] = {0};
    for (int i = 0; i < CHAT_TEMPLATE; i++)
        if (l->documents[i].bytes)
            NB_TRY(nb_json_check(l->documents[i].bytes, l->documents[i].size, document_names[i], &nodes[i], err));
    const document *template = &l->documents[CHAT_TEMPLATE];
    nb_folder folder = {.config = nodes[CONFIG],
                        .generation = nodes[GENERATION],
                        .tokenizer = nodes[TOKENIZER],
                        .tokenizer_config = nodes[TOKENIZER_CONFIG],
                        .chat_template = {(char *)template->bytes, template->size}};
    l->model->checkpoint.format = "safetensors";
    l->composer.err = err;
    return nb_huggingface_compose(&l->composer, &folder, err);
}

/* All headers are there. */
static int32_t plan(nb_loader *l, nb_error *err) {
    nb_checkpoint *c = &l->model->checkpoint;
    if (!l->parts)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "there are no weights among the files: give *.safetensors, or the parts of a GGUF");
    double count = nb_checkpoint_number(c, "split.count", 1);
    if (l->format == GGUF && count != (double)l->parts)
        return NB_FAIL(err, NB_ERR_FORMAT, "the model is split into %g files, but %u were given: give all of them",
                       count, l->parts);
    NB_TRY(l->format == GGUF ? nb_checkpoint_arrange(c, err) : compose_folder(l, err));
    for (int i = 0; i < DOCUMENTS; i++) { /* the weights' memory is needed more */
        nb_free(l->documents[i].bytes);
        l->documents[i].bytes = NULL;
    }
    l->planned = true;
    return open_model(l, err);
}

static int32_t cut_off(const nb_loader *l, nb_error *err) {
    const nb_checkpoint *c = &l->model->checkpoint;
    return NB_FAIL(err, NB_ERR_TRUNCATED, "the file ends after %l bytes, within tensor %t; fetch it again",
                   l->file_at + l->filled, nb_checkpoint_tensor_name(c, &c->tensors[l->tensor]));
}

int32_t nb_loader_next(nb_loader *l, double *offset, nb_error *err) {
    *offset = 0;
    if (l->several && l->stage == WEIGHTS)
        return cut_off(l, err);
    if (l->several && l->stage == COMPLETE)
        return 0;
    if (l->stage != BETWEEN || l->open)
        return NB_FAIL(err, NB_ERR_STATE, "no weights are asked for: a file has not ended, or loading failed before");
    if (!l->planned) {
        int32_t code = plan(l, err);
        if (code < 0) {
            l->stage = FAILED;
            return code;
        }
    }
    const nb_checkpoint *c = &l->model->checkpoint;
    if (l->stage == COMPLETE || l->tensor == c->n_tensors) {
        l->stage = COMPLETE;
        return 0;
    }
    const nb_tensor_info *t = &c->tensors[l->tensor];
    l->filled = 0;
    l->file_at = t->at;
    l->stage = WEIGHTS;
    *offset = (double)t->at;
    return (int32_t)t->file + 1;
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

int32_t nb_loader_commit(nb_loader *l, size_t n, nb_error *err) {
    if (l->stage == FAILED || (l->stage == COMPLETE && n))
        return NB_FAIL(err, NB_ERR_STATE, "the loader takes no more bytes: it has %s",
                       l->stage == FAILED ? "failed" : "the whole file");
    if (n > l->capacity - l->filled)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%z bytes were committed where %z fit", n, l->capacity - l->filled);
    l->filled += n;
    int32_t code = l->stage == WEIGHTS ? fill(l, err) : l->stage != HEADER ? NB_OK
                                                      : l->several         ? with_name(l, gather(l, err), err)
                                                                           : gather_header(l, err);
    if (code < 0)
        l->stage = FAILED;
    return code;
}

nb_model *nb_loader_finish(nb_loader *l, nb_error *err) {
    if (l->several && l->stage != COMPLETE && l->stage != FAILED && l->stage != WEIGHTS)
        return NB_FAIL_NULL(err, NB_ERR_STATE, "there are files whose weights were not given (nb_loader_next)");
    if (l->stage == HEADER) {
        /* the parser says best what is missing once it knows that nothing follows */
        l->gguf.file_bytes = l->filled;
        if (l->filled && nb_gguf_parse(&l->gguf, &l->model->checkpoint, l->buffer, l->filled, err) < 0)
            return NULL;
        return NB_FAIL_NULL(err, NB_ERR_TRUNCATED,
                            "the file is empty or ends within its header, after %z bytes; fetch it again", l->filled);
    }
    if (l->stage == WEIGHTS)
        return cut_off(l, err), NULL;
    if (l->stage == FAILED || !l->model)
        return NB_FAIL_NULL(err, NB_ERR_STATE, l->model ? "loading failed before" : "the model was taken before");
    nb_model *m = l->model;
    l->model = NULL;
    return m;
}
