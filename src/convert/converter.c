/* Reads the files. First the header of each file is collected in a growing buffer (a document is collected whole). Then
 * everything is planned (plan.h), and the GGUF's header is known. Then the weights come, file by file
 * (converter_output.c). */
#include "converter.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../formats/recognize.h"
#include "huggingface_families.h"
#include "reshape.h"
#include "safetensors.h"

enum { FIRST_HEADER = 1 << 20, STAGING = 1 << 20, MOST_DOCUMENT = 1 << 28, MOST_PARTS = 10000 };

nb_converter *nb_converter_new(uint32_t flags, nb_error *err) {
    nb_converter *x = nb_alloc(sizeof *x);
    if (!x)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory to begin converting");
    *x = (nb_converter){.flags = flags, .rows.plan = &x->plan};
    return x;
}

void nb_converter_free(nb_converter *x) {
    if (!x)
        return;
    nb_plan_free(&x->plan);
    nb_checkpoint_free(&x->part);
    nb_documents_free(&x->documents);
    nb_free(x->buffer);
    nb_free(x->header);
    nb_rows_free(&x->rows);
    nb_free(x);
}

int32_t nb_converter_quantize(nb_converter *x, const char *preset, size_t preset_bytes, uint32_t flags, nb_error *err) {
    char known[NB_LIST_BYTES];
    nb_writer w = nb_writer_over(known, sizeof known);
    nb_preset_list(&w);
    x->plan.recipe = (nb_recipe){
        .imatrix = x->plan.recipe.imatrix,
        .share = x->plan.recipe.share,
        .shares = x->plan.recipe.shares,
        .preset = nb_preset_of((nb_text){preset, preset_bytes}),
        .double_quant = flags & NB_QUANTIZE_DOUBLY,
        .best = flags & NB_QUANTIZE_BEST,
        .for_file = flags & NB_QUANTIZE_FILE,
        .again = flags & NB_QUANTIZE_AGAIN,
    };
    if (!x->plan.recipe.preset)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "weights cannot be quantized to \"%t\"; supported: %s",
                       (nb_text){preset, preset_bytes}, known);
    return NB_OK;
}

int32_t nb_converter_share(nb_converter *x, uint32_t part, uint32_t parts, nb_error *err) {
    if (part >= parts)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there is no share %u of %u; they are numbered from 0", part, parts);
    if (x->planned)
        return NB_FAIL(err, NB_ERR_STATE, "nb_converter_share must be called before the plan");
    x->plan.recipe.share = part;
    x->plan.recipe.shares = parts;
    return NB_OK;
}

int32_t nb_converter_importance(nb_converter *x, const uint8_t *bytes, size_t n, nb_error *err) {
    if (x->planned)
        return NB_FAIL(err, NB_ERR_STATE, "nb_converter_importance must be called before the plan");
    nb_imatrix_free(x->plan.recipe.imatrix);
    return nb_imatrix_read(bytes, n, &x->plan.recipe.imatrix, err);
}

int32_t nb_converter_adapter(nb_converter *x, const char *architecture, size_t architecture_bytes, uint32_t head_size,
                             nb_error *err) {
    nb_text wanted = {architecture, architecture_bytes};
    for (const nb_hf_family *f = nb_hf_families; f->model_type && !x->plan.adapted; f++)
        if (nb_text_is(wanted, f->architecture))
            x->plan.adapted = f;
    x->plan.adapted_head = head_size;
    return x->plan.adapted ? NB_OK
                           : NB_FAIL(err, NB_ERR_UNSUPPORTED,
                                     "folders of adapters are not supported for models of the architecture %t", wanted);
}

/* ---- headers --------------------------------------------------------------------------------------------------- */

int32_t nb_converter_grow(nb_converter *x, uint64_t capacity, nb_error *err) {
    return nb_enlarge(&x->buffer, &x->capacity, x->filled, capacity, err);
}

/* Appends the header and tensors of a part of a split GGUF to those of the parts before it. Its values are left out:
 * they add nothing to those of the first part. */
static int32_t add_part(nb_converter *x, nb_error *err) {
    nb_checkpoint *c = &x->plan.in, *part = &x->part;
    if (nb_checkpoint_number(part, "split.no", 0) != (double)x->n_weight_files)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is part %g of a split model, where part %u is expected: give the parts in their order, "
                       "-00001-of- first",
                       nb_checkpoint_number(part, "split.no", 0) + 1, x->n_weight_files + 1);
    for (uint64_t i = 0; i < part->n_tensors; i++)
        part->tensors[i].file = x->n_weight_files;
    if (!x->n_weight_files) {
        *c = *part;
        *part = (nb_checkpoint){0};
        return NB_OK;
    }
    uint64_t n = c->n_tensors + part->n_tensors, size = (uint64_t)c->header_size + part->header_size;
    nb_tensor_info *tensors = nb_alloc_items(n, sizeof *tensors);
    uint8_t *header = nb_alloc_items(size, 1);
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
    nb_checkpoint_free(part);
    return NB_OK;
}

static int32_t gather_gguf(nb_converter *x, nb_error *err) {
    int32_t code = nb_gguf_parse(&x->gguf, &x->part, x->buffer, x->filled, err);
    NB_TRY(code);
    if (code == NB_GGUF_MORE)
        return x->filled == x->capacity ? nb_converter_grow(x, 2 * (uint64_t)x->capacity, err) : NB_OK;
    x->stage = BETWEEN;
    NB_TRY(nb_checkpoint_keep_header(&x->part, x->buffer, x->gguf.at, err));
    return add_part(x, err);
}

static int32_t gather_safetensors(nb_converter *x, nb_error *err) {
    uint64_t bytes, end;
    NB_TRY(nb_safetensors_begin(x->buffer, (uint64_t)x->file_bytes, &bytes, err));
    if (x->filled < bytes)
        return x->capacity < bytes ? nb_converter_grow(x, bytes, err) : NB_OK;
    x->plan.in_composer.c = &x->plan.in;
    x->plan.in_composer.err = err;
    NB_TRY(nb_safetensors_parse(&x->plan.in_composer, x->n_weight_files, nb_folder_of(nb_text_of(x->name)), x->buffer,
                                (size_t)bytes, x->flags & NB_CONVERT_HEADER ? 0 : (uint64_t)x->file_bytes, &end, err));
    x->stage = BETWEEN;
    return NB_OK;
}

/* After each piece: reads the file's header if it is complete. */
static int32_t gather(nb_converter *x, nb_error *err) {
    if (x->kind < NB_DOCUMENTS) {
        if (x->filled < x->capacity)
            return NB_OK;
        if (x->capacity >= MOST_DOCUMENT)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the file is too large: a file of its kind has at most %u bytes",
                           (uint32_t)MOST_DOCUMENT);
        return nb_converter_grow(x, 2 * (uint64_t)x->capacity, err);
    }
    bool all = x->file_bytes > 0 && (double)x->filled >= x->file_bytes;
    if (x->filled < nb_recognize_bytes(x->buffer, x->filled) && !all && !nb_is_safetensors(x->buffer, x->filled))
        return NB_OK;
    NB_TRY(nb_refuse_others(x->buffer, x->filled, NB_EXPECT_WEIGHTS, err));
    if (x->filled < NB_SAFETENSORS_LENGTH)
        return NB_OK;
    bool gguf = nb_compare(x->buffer, "GGUF", 4) == 0 || nb_compare(x->buffer, "FUGG", 4) == 0;
    if (x->format != UNKNOWN && gguf != (x->format == GGUF))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "GGUF and safetensors files do not make one model: give those of one format");
    x->format = gguf ? GGUF : SAFETENSORS;
    return gguf ? gather_gguf(x, err) : gather_safetensors(x, err);
}

/* Puts the file's name in front of the message. */
static int32_t with_name(const nb_converter *x, int32_t code, nb_error *err) {
    if (code >= 0 || !err)
        return code;
    nb_error plain = *err;
    return NB_FAIL(err, code, "%s: %s", x->name, plain.message);
}

int32_t nb_converter_begin(nb_converter *x, const char *name, size_t name_bytes, double total_bytes, nb_error *err) {
    if (x->stage != BETWEEN || x->open || x->planned)
        return NB_FAIL(err, NB_ERR_STATE, "no file can begin now: the one before has not ended, or the plan is made");
    if (!(total_bytes >= 0 && total_bytes < 0x1p53) || x->n_weight_files == MOST_PARTS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a file cannot have %g bytes, nor a model more than %u files", total_bytes,
                       (uint32_t)MOST_PARTS);
    size_t n = NB_MIN(name_bytes, sizeof x->name - 1);
    memcpy(x->name, name, n);
    x->name[n] = 0;
    x->filled = 0;
    if (!x->buffer) /* it is the first file, or the last document kept the buffer */
        NB_TRY(nb_converter_grow(x, FIRST_HEADER, err));
    x->open = true;
    x->file_bytes = total_bytes;
    x->gguf = (nb_gguf){.file_bytes = x->flags & NB_CONVERT_HEADER ? 0 : (uint64_t)total_bytes};
    x->stage = HEADER;
    x->kind = nb_documents_kind(&x->documents, nb_text_of(x->name));
    if (x->kind < NB_DOCUMENTS && x->documents.items[x->kind].bytes)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s is there twice, or there are more than %u such files", x->name,
                       (uint32_t)NB_MODULES);
    return NB_OK;
}

static int32_t end_file(nb_converter *x, nb_error *err) {
    if (x->kind < NB_DOCUMENTS) {
        bool json = nb_text_ends(nb_text_of(x->name), ".json");
        NB_TRY(nb_refuse_others(x->buffer, x->filled, json ? NB_EXPECT_JSON : NB_EXPECT_TEXT, err));
        nb_documents_keep(&x->documents, x->kind, nb_text_of(x->name), x->buffer, x->filled);
        x->buffer = NULL;
        x->capacity = 0;
        return NB_OK;
    }
    if (x->stage == HEADER && x->filled && x->format != SAFETENSORS) {
        /* once the parsers know that nothing follows, they say what is missing */
        x->gguf.file_bytes = x->filled;
        x->file_bytes = (double)x->filled;
        NB_TRY(gather(x, err));
    }
    if (x->stage == HEADER)
        return NB_FAIL(err, NB_ERR_TRUNCATED,
                       "the file is empty or ends within its header, after %z bytes; fetch it again", x->filled);
    x->n_weight_files++;
    return NB_OK;
}

int32_t nb_converter_end(nb_converter *x, nb_error *err) {
    if (!x->open || x->stage == FAILED)
        return NB_FAIL(err, NB_ERR_STATE, "no file can end now: none has begun, or converting failed");
    int32_t code = with_name(x, end_file(x, err), err);
    x->stage = code < 0 ? FAILED : BETWEEN;
    x->filled = 0;
    x->open = false;
    return code;
}

/* ---- the plan -------------------------------------------------------------------------------------------------- */

/* After all headers were read: plans which tensors the GGUF has, and their types. */
static int32_t plan(nb_converter *x, nb_error *err) {
    if (!x->n_weight_files)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "there are no weights among the files: give *.safetensors, or the parts of a GGUF");
    double count = nb_checkpoint_number(&x->plan.in, "split.count", 1);
    if (x->format == GGUF && count != (double)x->n_weight_files)
        return NB_FAIL(err, NB_ERR_FORMAT, "the model is split into %g files, but %u were given: give all of them",
                       count, x->n_weight_files);
    NB_TRY(nb_plan_begin(&x->plan, err));
    NB_TRY(x->format == GGUF ? nb_plan_gguf(&x->plan) : nb_documents_plan(&x->documents, &x->plan, err));
    if (x->plan.recipe.preset)
        nb_plan_quantize(&x->plan);
    NB_TRY(nb_plan_order(&x->plan, err));
    nb_documents_free(&x->documents); /* the weights need the memory */
    x->planned = true;
    return NB_OK;
}

/* Resets the sources: none has arrived. */
static void count_sources(nb_plan *p) {
    for (uint64_t i = 0; i < p->out.n_tensors; i++)
        p->targets[i].missing = 0;
    for (uint64_t i = 0; i < p->in.n_tensors; i++) {
        nb_free(p->sources[i].bytes);
        p->sources[i].bytes = NULL;
        if (p->sources[i].target != NB_NONE)
            p->targets[p->sources[i].target].missing++;
    }
}

static int32_t settle(nb_converter *x, nb_error *err) {
    if (x->plan.recipe.preset && !x->types_settled)
        NB_TRY(nb_plan_settle_types(&x->plan, err));
    x->types_settled = true;
    NB_TRY(nb_plan_place(&x->plan, err));
    x->settled = true;
    count_sources(&x->plan);
    nb_skip_absent(x);
    NB_TRY(nb_plan_header(&x->plan, &x->header, &x->header_size, err));
    x->filled = 0;
    return x->capacity < STAGING ? nb_converter_grow(x, STAGING, err) : NB_OK;
}

int32_t nb_converter_plan(nb_converter *x, nb_error *err) {
    if (x->stage != BETWEEN || x->open || x->settled)
        return NB_FAIL(err, NB_ERR_STATE,
                       "planning is not possible now: a file has not ended, or weights were asked for");
    int32_t code = x->planned ? NB_OK : plan(x, err);
    if (code < 0)
        x->stage = FAILED;
    return code < 0 ? code : (int32_t)NB_MIN(x->plan.out.n_tensors, INT32_MAX);
}

static int32_t check_number(const nb_converter *x, uint32_t i, nb_error *err) {
    if (!x->planned || i >= x->plan.out.n_tensors)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there is no tensor %u in the plan", i);
    return NB_OK;
}

int32_t nb_converter_planned(const nb_converter *x, uint32_t i, nb_planned_tensor *tensor, nb_error *err) {
    NB_TRY(check_number(x, i, err));
    const nb_tensor_info *info = &x->plan.out.tensors[i];
    const nb_target *t = &x->plan.targets[i];
    nb_text name = nb_checkpoint_tensor_name(&x->plan.out, info);
    nb_text source = {0};
    if (t->first != NB_NONE)
        source = nb_checkpoint_tensor_name(&x->plan.in, &x->plan.in.tensors[t->first]);
    uint32_t n = (uint32_t)NB_MIN(name.size, sizeof tensor->name - 1);
    uint32_t source_n = (uint32_t)NB_MIN(source.size, sizeof tensor->source_name - 1);
    bool wants = x->plan.recipe.preset && t->wanted_type != NB_TYPE_LIMIT;
    bool placed = x->settled && t->how != NB_TENSOR_ABSENT;
    *tensor = (nb_planned_tensor){
        .at = placed ? (double)(x->header_size + info->at) : 0,
        .bytes = placed ? (double)info->bytes : 0,
        .columns = (uint32_t)NB_MIN(info->shape[0], UINT32_MAX),
        .rows = (uint32_t)NB_MIN(info->shape[1], UINT32_MAX),
        .matrices = (uint32_t)NB_MIN(info->shape[2] * info->shape[3], UINT32_MAX),
        .source_type = t->source_type,
        .wanted_type = wants ? t->wanted_type : info->type,
        .type = info->type,
        .name_bytes = n,
        .source_name_bytes = source_n,
    };
    memcpy(tensor->name, name.data, n);
    if (source_n)
        memcpy(tensor->source_name, source.data, source_n);
    return NB_OK;
}

int32_t nb_converter_rows(const nb_converter *x, uint32_t i, uint32_t *rows, nb_error *err) {
    NB_TRY(check_number(x, i, err));
    const nb_tensor_info *info = &x->plan.out.tensors[i];
    const nb_target *t = &x->plan.targets[i];
    bool is_whole = t->arrangement == NB_AS_ROWS || t->arrangement == NB_AS_TRANSPOSED ||
                    t->arrangement == NB_AS_REGROUPED || t->arrangement == NB_AS_PERMUTED;
    if (!is_whole || t->skipped || info->n_dimensions != 2 || info->shape[1] > UINT32_MAX)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the files do not have tensor %t as one matrix (vectors, stacked experts and other libraries' "
                       "codes are none)",
                       nb_checkpoint_tensor_name(&x->plan.out, info));
    for (uint64_t row = 0; row < info->shape[1]; row++)
        rows[row] = (uint32_t)nb_reshape_row(t, row, info->shape[1]);
    return t->arrangement == NB_AS_TRANSPOSED;
}

int32_t nb_converter_choose(nb_converter *x, uint32_t i, uint32_t type, nb_error *err) {
    NB_TRY(check_number(x, i, err));
    bool is_late = x->types_settled && x->plan.targets[i].how != NB_TENSOR_BLANK;
    if (x->settled || is_late || !x->plan.recipe.preset)
        return NB_FAIL(err, NB_ERR_STATE,
                       "types must be chosen after nb_converter_plan and before nb_converter_next; in a further GGUF "
                       "only blank tensors get other types");
    return nb_plan_choose(&x->plan, i, type, err);
}

int32_t nb_converter_simulated(nb_converter *x, const char *grid, size_t grid_bytes, nb_error *err) {
    NB_TRY(nb_converter_plan(x, err));
    if (nb_checkpoint_find(&x->plan.out, "nibble.simulated"))
        return NB_FAIL(err, NB_ERR_STATE, "this GGUF names its grid already");
    x->plan.composer.err = err; /* the plan's own call is over */
    nb_compose_string(&x->plan.composer, "nibble.simulated", (nb_text){grid, grid_bytes});
    return x->plan.composer.code;
}

int32_t nb_converter_include(nb_converter *x, uint32_t i, uint32_t how, nb_error *err) {
    NB_TRY(check_number(x, i, err));
    if (x->settled)
        return NB_FAIL(err, NB_ERR_STATE, "what a GGUF has must be chosen before nb_converter_next");
    if (how > NB_TENSOR_ABSENT)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "a tensor cannot be included as %u; it can as made (0), blank (1) and absent (2)", how);
    x->plan.targets[i].how = how;
    return NB_OK;
}

/* Whether the converter copies its rows as they are, in their order. */
static bool has_plain_rows(const nb_plan *p, uint32_t i) {
    const nb_target *t = &p->targets[i];
    return t->arrangement == NB_AS_ROWS && t->first != NB_NONE && !t->quantize && !t->skipped && t->shift == 0 &&
           p->out.tensors[i].n_dimensions == 2 && p->out.tensors[i].type == t->source_type;
}

int32_t nb_converter_pick(nb_converter *x, uint32_t i, const uint32_t *rows, uint32_t n, nb_error *err) {
    NB_TRY(check_number(x, i, err));
    nb_target *target = &x->plan.targets[i];
    nb_tensor_info *t = &x->plan.out.tensors[i];
    if (x->settled || target->rows)
        return NB_FAIL(err, NB_ERR_STATE, "rows must be picked once, before nb_converter_next");
    for (uint32_t k = 0; k < n; k++)
        if (rows[k] >= t->shape[1] || (k && rows[k] <= rows[k - 1]))
            return NB_FAIL(err, NB_ERR_ARGUMENT, "row %u cannot be picked: the rows must ascend and be below %l",
                           rows[k], t->shape[1]);
    if (!n || !has_plain_rows(&x->plan, i))
        return 0;
    target->rows = nb_alloc_items(n, sizeof *rows);
    if (!target->rows)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the numbers of %u rows", n);
    memcpy(target->rows, rows, (size_t)n * sizeof *rows);
    target->n_rows = n;
    t->shape[1] = n;
    return 1;
}

/* Adds a blank tensor X.leaf to X.weight. */
static int32_t add_beside(nb_converter *x, uint32_t i, const char *leaf, nb_tensor_info shape, nb_error *err) {
    char name[256];
    nb_text of = nb_checkpoint_tensor_name(&x->plan.out, &x->plan.out.tensors[i]);
    nb_writer w = nb_writer_over(name, sizeof name);
    nb_write_bytes(&w, of.data, of.size - NB_MIN(of.size, nb_length("weight")));
    nb_write(&w, "%s", leaf);
    if (w.length > sizeof name || !nb_text_ends(of, ".weight"))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "tensor %t can have no outliers: its name does not end with .weight, or is too long", of);
    uint32_t target = nb_plan_generate(&x->plan, (nb_text){name, w.length}, NB_AS_NUMBERS);
    if (target == NB_NONE)
        return x->plan.composer.code;
    nb_tensor_info *t = &x->plan.out.tensors[target];
    t->type = shape.type;
    t->n_dimensions = shape.n_dimensions;
    memcpy(t->shape, shape.shape, sizeof t->shape);
    x->plan.targets[target].how = NB_TENSOR_BLANK;
    return NB_OK;
}

int32_t nb_converter_outliers(nb_converter *x, uint32_t i, uint32_t n, nb_error *err) {
    NB_TRY(check_number(x, i, err));
    if (x->settled)
        return NB_FAIL(err, NB_ERR_STATE, "what a GGUF has must be chosen before nb_converter_next");
    const nb_tensor_info t = x->plan.out.tensors[i];
    if (!n || n > t.shape[0] || t.n_dimensions != 2)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%u columns of tensor %t cannot be kept in 16 bits", n,
                       nb_checkpoint_tensor_name(&x->plan.out, &t));
    x->plan.composer.err = err; /* the plan's own call is over */
    nb_tensor_info kept = {.type = NB_TYPE_F16, .n_dimensions = 2, .shape = {n, t.shape[1], 1, 1}};
    nb_tensor_info list = {.type = NB_TYPE_I32, .n_dimensions = 1, .shape = {n, 1, 1, 1}};
    NB_TRY(add_beside(x, i, "outliers", kept, err));
    NB_TRY(add_beside(x, i, "outlier_columns", list, err));
    nb_compose_only_nibble(&x->plan.composer, "llama.cpp has no columns of 16 bits beside a matrix");
    return x->plan.composer.code;
}

int32_t nb_converter_again(nb_converter *x, nb_error *err) {
    if (!x->settled || x->stage == FAILED)
        return NB_FAIL(err, NB_ERR_STATE, "another GGUF needs one before it: call nb_converter_next first");
    nb_free(x->header);
    x->header = NULL;
    x->header_size = 0;
    x->header_given = x->settled = false;
    x->stage = BETWEEN;
    x->filled = x->used = 0;
    x->source = x->arrived = 0;
    x->target = x->row = x->written = 0;
    return NB_OK;
}

double nb_converter_total(const nb_converter *x) {
    if (!x->settled)
        return 0;
    const nb_checkpoint *c = &x->plan.out;
    uint64_t end = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++)
        if (x->plan.targets[i].how != NB_TENSOR_ABSENT)
            end = c->tensors[i].at + c->tensors[i].bytes;
    return (double)x->header_size + (double)end;
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

static int32_t cut_off(const nb_converter *x, nb_error *err) {
    return NB_FAIL(err, NB_ERR_TRUNCATED, "the file ends after %l bytes, within tensor %t; fetch it again",
                   x->file_at + x->filled, nb_checkpoint_tensor_name(&x->plan.in, nb_current_source(x)));
}

int32_t nb_converter_next(nb_converter *x, double *offset, nb_error *err) {
    *offset = 0;
    if (x->stage == WEIGHTS)
        return cut_off(x, err);
    if (x->stage == COMPLETE)
        return 0;
    if (x->stage != BETWEEN || x->open)
        return NB_FAIL(err, NB_ERR_STATE, "converting cannot go on: a file has not ended, or it failed before");
    if (!x->settled) {
        int32_t code = x->planned ? NB_OK : plan(x, err);
        if (code >= 0)
            code = settle(x, err);
        if (code < 0) {
            x->stage = FAILED;
            return code;
        }
    }
    const nb_plan *p = &x->plan;
    while (x->source < p->in.n_tensors && !nb_is_source_needed(p, x->source))
        x->source++;
    if (x->flags & NB_CONVERT_HEADER || x->source == p->in.n_tensors) {
        x->stage = COMPLETE;
        return 0;
    }
    x->filled = x->used = 0;
    x->file = nb_current_source(x)->file;
    x->file_at = nb_current_source(x)->at;
    x->stage = WEIGHTS;
    *offset = (double)x->file_at;
    return (int32_t)nb_current_source(x)->file + 1;
}

double nb_converter_offset(const nb_converter *x, int32_t number) {
    const nb_plan *p = &x->plan;
    for (uint64_t i = 0; x->settled && i < p->in.n_tensors; i++)
        if ((int64_t)p->in.tensors[i].file + 1 == number && nb_is_source_needed(p, i))
            return (double)p->in.tensors[i].at;
    return 0;
}

uint8_t *nb_converter_space(nb_converter *x, size_t *capacity) {
    bool wants = x->stage == HEADER || x->stage == WEIGHTS;
    if (x->stage == WEIGHTS && x->used) {
        x->filled -= x->used;
        memmove(x->buffer, x->buffer + x->used, x->filled);
        x->file_at += x->used;
        x->used = 0;
    }
    *capacity = wants ? x->capacity - x->filled : 0;
    return x->buffer + x->filled;
}

int32_t nb_converter_commit(nb_converter *x, size_t n, nb_error *err) {
    if (x->stage != HEADER && x->stage != WEIGHTS && n)
        return NB_FAIL(err, NB_ERR_STATE, "the converter takes no more bytes: it has %s",
                       x->stage == FAILED ? "failed" : "all that it needs");
    if (n > x->capacity - x->filled)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%z bytes were committed where %z fit", n, x->capacity - x->filled);
    x->filled += n;
    int32_t code = x->stage == HEADER ? with_name(x, gather(x, err), err) : NB_OK;
    if (code < 0)
        x->stage = FAILED;
    return code;
}
