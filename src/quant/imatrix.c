#include "imatrix.h"

#include "../base/cursor.h"
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/sort.h"
#include "../formats/gguf.h"
#include "../formats/recognize.h"
#include "../types/finite.h"
#include "../types/types.h"

enum { MOST_ENTRIES = NB_GGUF_MAX_TENSORS, MOST_NAME = NB_GGUF_MAX_NAME };

/* A file while it is read. Numbers and names are copied into one block of the file's size, numbers from the front,
 * names from the back. They fit, because no byte of the file is copied twice. */
typedef struct reader {
    nb_imatrix *m;
    uint64_t capacity; /* of m->entries */
    size_t front, back;
} reader;

static int32_t make_room(reader *r, size_t size, nb_error *err) {
    r->back = NB_ROUND_UP(size, 64) + 64;
    r->m->memory = nb_alloc(r->back);
    return r->m->memory ? NB_OK : nb_memory_refuse("the importance matrix", r->back, err);
}

static nb_text keep_text(reader *r, nb_text text) {
    r->back -= text.size;
    memcpy(r->m->memory + r->back, text.data, text.size);
    return (nb_text){(const char *)r->m->memory + r->back, text.size};
}

/* Appends an entry with a copy of n numbers of the file. An error if one of them is wrong. */
static int32_t add_entry(reader *r, nb_text name, const uint8_t *numbers, uint64_t n, nb_error *err) {
    nb_imatrix *m = r->m;
    NB_TRY(nb_grow((void **)&m->entries, &r->capacity, m->n_entries, sizeof *m->entries, "importance matrix", err));
    nb_imatrix_entry *e = &m->entries[m->n_entries++];
    *e = (nb_imatrix_entry){keep_text(r, name), n, (float *)(void *)(m->memory + r->front)};
    memcpy(e->importance, numbers, (size_t)n * sizeof(float));
    r->front += (size_t)n * sizeof(float);
    for (uint64_t i = 0; i < n; i++)
        if (!(e->importance[i] >= 0) || !nb_are_finite(e->importance + i, 1))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "the importance matrix is damaged: number %l of %t is %g, and a sum of squares is "
                           "finite and not negative; make the file anew",
                           i, e->name, (double)e->importance[i]);
    return NB_OK;
}

/* importance[n] /= count. If nothing was counted, all columns are equally important, as in llama.cpp. */
static int32_t divide_by_count(const nb_imatrix_entry *e, float *importance, uint64_t n, float count, nb_error *err) {
    for (uint64_t i = 0; i < n; i++)
        importance[i] = count > 0 ? importance[i] / count : 1;
    if (nb_are_finite(importance, (size_t)n))
        return NB_OK;
    return NB_FAIL(err, NB_ERR_FORMAT, "the importance matrix is damaged: %t was counted %g times; make the file anew",
                   e->name, (double)count);
}

static int compare_texts(nb_text a, nb_text b) {
    int first = nb_compare(a.data, b.data, NB_MIN(a.size, b.size));
    return first || a.size == b.size ? first : a.size < b.size ? -1 : 1;
}

static int compare_entries(const void *table, uint32_t a, uint32_t b) {
    const nb_imatrix_entry *entries = table;
    return compare_texts(entries[a].name, entries[b].name);
}

/* Sorts the entries by name. An error if two have the same name. */
static int32_t sort_entries(reader *r, nb_error *err) {
    nb_imatrix *m = r->m;
    if (!m->n_entries)
        return NB_FAIL(err, NB_ERR_FORMAT, "the importance matrix has no entries");
    uint32_t n = m->n_entries, *order = nb_alloc_items(n, sizeof *order);
    nb_imatrix_entry *sorted = nb_alloc_items(n, sizeof *sorted);
    int32_t code = NB_OK;
    if (!order || !sorted) {
        code = nb_memory_refuse("the importance matrix", n * sizeof *sorted, err);
    } else {
        nb_sort(order, n, compare_entries, m->entries);
        for (uint32_t i = 0; i < n; i++)
            sorted[i] = m->entries[order[i]];
        memcpy(m->entries, sorted, n * sizeof *sorted);
        for (uint32_t i = 1; i < n && code == NB_OK; i++)
            if (compare_entries(m->entries, i - 1, i) == 0)
                code = NB_FAIL(err, NB_ERR_FORMAT, "the importance matrix is damaged: it has %t twice",
                               m->entries[i].name);
    }
    nb_free(order);
    nb_free(sorted);
    return code;
}

static nb_imatrix_entry *find(const nb_imatrix *m, nb_text name) {
    uint32_t low = 0, high = m->n_entries;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_texts(m->entries[middle].name, name);
        if (order == 0)
            return &m->entries[middle];
        *(order < 0 ? &low : &high) = order < 0 ? middle + 1 : middle;
    }
    return NULL;
}

int32_t nb_imatrix_find(const nb_imatrix *m, nb_text tensor, uint64_t columns, uint64_t matrices,
                        const float **importance, nb_error *err) {
    const nb_imatrix_entry *e = find(m, tensor);
    if (!e)
        return 0;
    if (e->n != nb_times(columns, matrices))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "the importance matrix has %l numbers for %t, and the tensor has %l columns (times %l "
                       "matrices); it was made with another model",
                       e->n, tensor, columns, matrices);
    *importance = e->importance;
    return 1;
}

/* ---- the legacy format ------------------------------------------------------------------------------------------- */

static int32_t cut_off(const nb_cursor *in, nb_error *err) {
    return NB_FAIL(err, NB_ERR_TRUNCATED,
                   "the importance matrix ends at byte %z, in the middle of an entry; it is cut off, or it is another "
                   "kind of file",
                   in->size);
}

static nb_text read_text(nb_cursor *in) {
    uint32_t size = nb_cursor_u32(in);
    return (nb_text){(const char *)nb_cursor_bytes(in, size), size};
}

static int32_t read_legacy_entry(reader *r, nb_cursor *in, uint32_t i, nb_error *err) {
    nb_text name = read_text(in);
    if (!in->is_short && (!name.size || name.size > MOST_NAME))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the importance matrix is damaged, or another kind of file: the name of entry %u has %z bytes",
                       i, name.size);
    uint32_t calls = nb_cursor_u32(in), n = nb_cursor_u32(in);
    const uint8_t *numbers = nb_cursor_bytes(in, (uint64_t)n * sizeof(float));
    if (!numbers)
        return cut_off(in, err);
    if (!n || calls > INT32_MAX)
        return NB_FAIL(err, NB_ERR_FORMAT, "the importance matrix is damaged: entry %t has %u numbers of %d calls",
                       name, n, (int32_t)calls);
    NB_TRY(add_entry(r, name, numbers, n, err));
    const nb_imatrix_entry *e = &r->m->entries[r->m->n_entries - 1];
    return calls ? divide_by_count(e, e->importance, n, (float)calls, err)
                 : NB_OK; /* 0: an old file, which has means */
}

static int32_t read_legacy(reader *r, const uint8_t *bytes, size_t size, nb_error *err) {
    NB_TRY(nb_refuse_others(bytes, size, NB_EXPECT_TEXT, err));
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    uint32_t n = nb_cursor_u32(&in);
    if (!in.is_short && (!n || n > MOST_ENTRIES))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is not an importance matrix: a file of the legacy format (.dat) begins with the number of "
                       "its entries, and one of GGUF with \"GGUF\"");
    for (uint32_t i = 0; i < n && !in.is_short; i++)
        NB_TRY(read_legacy_entry(r, &in, i, err));
    if (!in.is_short && in.at < size) {
        r->m->chunks = nb_cursor_u32(&in);
        nb_text name = in.at < size ? read_text(&in) : (nb_text){0};
        if (name.data)
            r->m->data_set = keep_text(r, name);
    }
    return in.is_short ? cut_off(&in, err) : NB_OK;
}

/* ---- GGUF -------------------------------------------------------------------------------------------------------- */

/* Removes a suffix of the name, such as ".counts". False: the name has another end. */
static bool remove_suffix(nb_text *name, const char *end) {
    bool has = nb_text_ends(*name, end);
    name->size -= has ? nb_length(end) : 0;
    return has;
}

static int32_t read_sums(reader *r, const nb_checkpoint *c, const uint8_t *bytes, const nb_tensor_info *t,
                         nb_error *err) {
    nb_text name = nb_checkpoint_tensor_name(c, t);
    bool sums = remove_suffix(&name, ".in_sum2");
    if (!sums && !remove_suffix(&name, ".counts"))
        return NB_OK; /* .in_sum, or a tensor of a later version */
    if (t->type != NB_TYPE_F32 || !name.size)
        return NB_FAIL(err, NB_ERR_FORMAT, "the importance matrix is damaged: tensor %t is not of the type F32",
                       nb_checkpoint_tensor_name(c, t));
    return sums ? add_entry(r, name, bytes + t->at, t->bytes / sizeof(float), err) : NB_OK;
}

/* Divides sums by their counts. *found: how many tensors of counts there are. */
static int32_t read_counts(reader *r, const nb_checkpoint *c, const uint8_t *bytes, const nb_tensor_info *t,
                           uint32_t *found, nb_error *err) {
    nb_text name = nb_checkpoint_tensor_name(c, t);
    if (!remove_suffix(&name, ".counts"))
        return NB_OK;
    const nb_imatrix_entry *e = find(r->m, name);
    uint64_t matrices = t->bytes / sizeof(float);
    if (!e || e->n % matrices)
        return NB_FAIL(err, NB_ERR_FORMAT, "the importance matrix is damaged: %t has %l counts for %l sums", name,
                       matrices, e ? e->n : 0);
    for (uint64_t i = 0, columns = e->n / matrices; i < matrices; i++) {
        float count;
        memcpy(&count, bytes + t->at + i * sizeof count, sizeof count);
        if (!(count >= 0) || !nb_are_finite(&count, 1))
            return NB_FAIL(err, NB_ERR_FORMAT, "the importance matrix is damaged: count %l of %t is %g", i, name,
                           (double)count);
        NB_TRY(divide_by_count(e, e->importance + i * columns, columns, count, err));
    }
    ++*found;
    return NB_OK;
}

static int32_t read_tensors(reader *r, const nb_checkpoint *c, const uint8_t *bytes, nb_error *err) {
    if (!nb_text_is(nb_checkpoint_string(c, "general.type"), "imatrix"))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this GGUF file is not an importance matrix: its general.type is not \"imatrix\"; `nibble "
                       "imatrix` makes one");
    for (uint64_t i = 0; i < c->n_tensors; i++)
        NB_TRY(read_sums(r, c, bytes, &c->tensors[i], err));
    NB_TRY(sort_entries(r, err));
    uint32_t found = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++)
        NB_TRY(read_counts(r, c, bytes, &c->tensors[i], &found, err));
    if (found != r->m->n_entries)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the importance matrix is damaged: it has sums of %u tensors, and counts of %u", r->m->n_entries,
                       found);
    double chunks = 0;
    NB_TRY(nb_checkpoint_read(c, "imatrix.chunk_count", (nb_limits){0, UINT32_MAX}, &chunks, err));
    r->m->chunks = (uint32_t)chunks;
    const nb_value *sets = nb_checkpoint_find(c, "imatrix.datasets");
    if (sets && sets->type == NB_VALUE_ARRAY && sets->item_type == NB_VALUE_STRING && sets->count) {
        uint64_t at = sets->at;
        r->m->data_set = keep_text(r, nb_checkpoint_next_string(c, &at));
    }
    return NB_OK;
}

static int32_t read_gguf(reader *r, const uint8_t *bytes, size_t size, nb_error *err) {
    nb_gguf g = {.file_bytes = size};
    nb_checkpoint c = {0};
    int32_t code = nb_gguf_parse(&g, &c, bytes, size, err);
    if (code == NB_GGUF_DONE)
        code = nb_checkpoint_keep_header(&c, bytes, g.at, err);
    if (code == NB_OK)
        code = read_tensors(r, &c, bytes, err);
    nb_checkpoint_free(&c);
    return code;
}

int32_t nb_imatrix_read(const uint8_t *bytes, size_t size, nb_imatrix **out, nb_error *err) {
    nb_imatrix *m = *out = nb_alloc(sizeof *m);
    if (!m)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for an importance matrix");
    *m = (nb_imatrix){0};
    reader r = {.m = m};
    bool gguf = size >= 4 && nb_compare(bytes, "GGUF", 4) == 0;
    int32_t code = make_room(&r, size, err);
    if (code == NB_OK)
        code = gguf ? read_gguf(&r, bytes, size, err) : read_legacy(&r, bytes, size, err);
    if (code == NB_OK && !gguf)
        code = sort_entries(&r, err);
    if (code < 0) {
        nb_imatrix_free(m);
        *out = NULL;
    }
    return code;
}

void nb_imatrix_free(nb_imatrix *m) {
    if (!m)
        return;
    nb_free(m->entries);
    nb_free(m->memory);
    nb_free(m);
}
