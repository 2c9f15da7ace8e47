#include "recognize.h"

#include "../base/cursor.h"
#include "../base/numbers.h"
#include "../base/text.h"

enum { MIN_BYTES = 16, MAX_BYTES = 64 };

/* Files that are recognized by their first bytes, whatever is expected. */
static const struct {
    const char *start;
    size_t size;
    const char *what;
} known[] = {
    {"FUGG", 4, "a big-endian GGUF file: convert the model again for little-endian machines"},
    {"lmgg", 4, "a GGML file, older than GGUF: get the model's GGUF version, or convert it"},
    {"fmgg", 4, "a GGMF file, older than GGUF: get the model's GGUF version, or convert it"},
    {"tjgg", 4, "a GGJT file, older than GGUF: get the model's GGUF version, or convert it"},
    {"algg", 4, "a GGLA file, an adapter older than GGUF: get the model itself in its GGUF version"},
    {"version https:", 14,
     "a Git LFS pointer, not the file itself: run `git lfs pull` where the repository was cloned, or take the file's "
     "download link"},
    {"PK\3\4", 4,
     "a zip archive (a PyTorch checkpoint, or a packed file), not GGUF: unpack it, or get the model's GGUF or "
     "safetensors version"},
    {"\x80\2\x8a\x0al\xfc\x9c\x46", 8,
     "a PyTorch checkpoint, which is not read: get the model's GGUF or safetensors version"},
    {"\x1f\x8b", 2, "a gzip file: unpack it first"},
    {"BZh", 3, "a bzip2 file: unpack it first"},
    {"\xfd"
     "7zXZ",
     6, "an xz file: unpack it first"}, /* the zero is its sixth byte */
    {"\x28\xb5\x2f\xfd", 4, "a Zstandard file: unpack it first"},
    {"NBRESUM2", 8,
     "what `nibble quantize --resume` keeps of a file that is not whole yet: run that command again, and load what it "
     "writes"},
    {"\x89PNG", 4, "a PNG picture, not a model file"},
    {"\xff\xd8\xff", 3, "a JPEG picture, not a model file"},
    {"%PDF-", 5, "a PDF document, not a model file"},
    {"\x89HDF", 4, "an HDF5 file, which is not read: get the model's GGUF or safetensors version"},
    {"\x93NUMPY", 6, "a NumPy file, which is not read: get the model's GGUF or safetensors version"},
    {"\x7f"
     "ELF",
     4, "a program, not a model file"},
};

/* Words near the start of JSON files in a model's folder. */
static const struct {
    const char *word, *what;
} documents[] = {
    {"\"truncation\"", "a tokenizer.json"}, {"\"added_tokens\"", "a tokenizer.json"},
    {"\"architectures\"", "a config.json"}, {"\"_name_or_path\"", "a config.json"},
    {"\"model_type\"", "a config.json"},    {"\"total_size\"", "a list of the files of weights"},
};

/* How a web page begins, in lower case. */
static const char *const pages[] = {"<!doctype", "<html", "<head", "<?xml", "<!--"};

static const char web_page[] = "a web page, not a model file: either the address is that of a page about the file (on "
                               "a model hub take the download link, which has /resolve/ where the page has /blob/), or "
                               "the server answers every address with an HTML page of its own";

static bool starts_with(const uint8_t *data, size_t size, const char *start, size_t n) {
    return size >= n && nb_compare(data, start, n) == 0;
}

/* Whether the text starts with these letters, in upper or lower case. */
static bool starts_like(nb_text text, const char *start) {
    size_t n = nb_length(start);
    if (text.size < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = text.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c) != start[i])
            return false;
    }
    return true;
}

/* The text without a byte order mark and white space at its start. */
static nb_text trimmed(const uint8_t *data, size_t size) {
    nb_text text = {(const char *)data, size};
    nb_text_take(&text, "\xef\xbb\xbf");
    while (text.size && (*text.data == ' ' || (*text.data >= '\t' && *text.data <= '\r')))
        text = (nb_text){text.data + 1, text.size - 1};
    return text;
}

static bool has(nb_text text, const char *word) {
    for (size_t n = nb_length(word); text.size >= n; text = (nb_text){text.data + 1, text.size - 1})
        if (nb_compare(text.data, word, n) == 0)
            return true;
    return false;
}

static int32_t refuse_json(nb_text text, nb_error *err) {
    nb_text start = {text.data, NB_MIN(text.size, 60)};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        if (has(text, documents[i].word))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "this is JSON, not a model file (%s: load the whole folder that it belongs to); it begins "
                           "%t",
                           documents[i].what, start);
    return NB_FAIL(err, NB_ERR_FORMAT, "this is JSON, not a model file; it begins %t", start);
}

/* The older format of importance matrices has no magic number. It begins with the number of entries, the length of the
 * first entry's name, and that name, which is that of a model's matrix. */
static bool is_old_imatrix(const uint8_t *data, size_t size) {
    enum { NAME = 8, MOST_ENTRIES = 1 << 20, MOST_NAME = 256 };
    if (size < NAME)
        return false;
    nb_cursor in = nb_cursor_over(data, size, 0);
    uint32_t entries = nb_cursor_u32(&in), length = nb_cursor_u32(&in);
    nb_text name = {(const char *)data + NAME, size - NAME};
    return entries && entries <= MOST_ENTRIES && length > 6 && length <= MOST_NAME &&
           (nb_text_take(&name, "blk.") || nb_text_take(&name, "output."));
}

size_t nb_recognize_bytes(const uint8_t *data, size_t size) {
    nb_text text = trimmed(data, NB_MIN(size, MAX_BYTES));
    if (!text.size || *text.data == '{' || *text.data == '[')
        return MAX_BYTES;
    return NB_MIN((size_t)(text.data - (const char *)data) + MIN_BYTES, MAX_BYTES);
}

bool nb_is_safetensors(const uint8_t *data, size_t size) {
    static const uint8_t zeros[4];
    return size > 8 && nb_compare(data + 4, zeros, 4) == 0 && data[8] == '{';
}

int32_t nb_refuse_others(const uint8_t *data, size_t size, int32_t expected, nb_error *err) {
    size = NB_MIN(size, MAX_BYTES); /* so that the answer does not depend on how many bytes have arrived */
    if (expected == NB_EXPECT_WEIGHTS && nb_is_safetensors(data, size))
        return NB_OK; /* it begins with a length, which may look like any of the files below */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (starts_with(data, size, known[i].start, known[i].size))
            return NB_FAIL(err, NB_ERR_FORMAT, "this is %s", known[i].what);
    if (expected == NB_EXPECT_TEXT)
        return NB_OK;
    nb_text text = trimmed(data, size);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (starts_like(text, pages[i]))
            return NB_FAIL(err, NB_ERR_FORMAT, "this is %s", web_page);
    if (expected != NB_EXPECT_WEIGHTS)
        return NB_OK;
    if (text.size && (*text.data == '{' || *text.data == '['))
        return refuse_json(text, err);
    if (is_old_imatrix(data, size))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is an importance matrix in the older format (.dat), not a model: it is for quantizing one "
                       "(--imatrix)");
    return NB_OK;
}
