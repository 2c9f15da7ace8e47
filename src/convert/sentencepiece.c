/* These fields of the protocol buffer are read; the others are for training.
 *
 *     pieces (1)            text (1), score (2), type (3)
 *     trainer_spec (2)      model_type (3), treat_whitespace_as_suffix (24), byte_fallback (35), ids (40 to 42)
 *     normalizer_spec (3)   precompiled_charsmap (2), add_dummy_prefix (3), remove_extra_whitespaces (4),
 *                           escape_whitespaces (5)
 *
 * If transformers has a class for the tokenizer that ignores these steps, it takes effect later (tokenizer_class.c).
 * Else texts are normalized as sentencepiece itself does. */
#include "sentencepiece.h"

#include "../base/cursor.h"
#include "../base/memory.h"
#include "../base/writer.h"

enum { UNIGRAM = 1, BPE = 2 };                                         /* TrainerSpec.ModelType */
enum { NORMAL = 1, UNKNOWN_PIECE = 2, CONTROL = 3, USER_DEFINED = 4 }; /* ModelProto.SentencePiece.Type */

typedef struct field {
    uint32_t number;
    uint64_t value; /* of a varint or of 32 bits */
    nb_text bytes;  /* of a length-delimited one */
} field;

typedef struct proto {
    nb_text whole, charsmap;
    uint64_t model_type, suffix, byte_fallback, dummy_prefix, remove_spaces, escape;
    int64_t unknown, begin, end; /* -1: there is none */
} proto;

static uint64_t next_varint(nb_cursor *in) {
    uint64_t number = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        uint8_t byte = nb_cursor_u8(in);
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return number;
}

/* The next field; false at the end, or if the bytes are no field (in->is_short). */
static bool next_field(nb_cursor *in, size_t size, field *out) {
    if (in->is_short || in->at >= size)
        return false;
    uint64_t key = next_varint(in);
    *out = (field){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case 0: out->value = next_varint(in); break;
    case 1: out->value = nb_cursor_u64(in); break;
    case 2: {
        uint64_t length = next_varint(in);
        const uint8_t *bytes = nb_cursor_bytes(in, length);
        out->bytes = (nb_text){(const char *)bytes, bytes ? (size_t)length : 0};
        break;
    }
    case 5: out->value = nb_cursor_u32(in); break;
    default: in->is_short = true;
    }
    return !in->is_short;
}

static nb_cursor over(nb_text text) {
    return nb_cursor_over((const uint8_t *)text.data, text.size, 0);
}

static bool read_trainer(nb_text text, proto *p) {
    nb_cursor in = over(text);
    for (field f; next_field(&in, text.size, &f);) {
        int64_t id = (int32_t)(uint32_t)f.value;
        switch (f.number) {
        case 3: p->model_type = f.value; break;
        case 24: p->suffix = f.value; break;
        case 35: p->byte_fallback = f.value; break;
        case 40: p->unknown = id; break;
        case 41: p->begin = id; break;
        case 42: p->end = id; break;
        default: break;
        }
    }
    return !in.is_short;
}

static bool read_normalizer(nb_text text, proto *p) {
    nb_cursor in = over(text);
    for (field f; next_field(&in, text.size, &f);)
        switch (f.number) {
        case 2: p->charsmap = f.bytes; break;
        case 3: p->dummy_prefix = f.value; break;
        case 4: p->remove_spaces = f.value; break;
        case 5: p->escape = f.value; break;
        default: break;
        }
    return !in.is_short;
}

static bool read_proto(nb_text whole, proto *p) {
    *p = (proto){
        .whole = whole,
        .model_type = UNIGRAM,
        .dummy_prefix = 1,
        .remove_spaces = 1,
        .escape = 1,
        .unknown = 0,
        .begin = 1,
        .end = 2,
    };
    nb_cursor in = over(whole);
    field f;
    bool good = true;
    while (next_field(&in, whole.size, &f) && good)
        good = f.number == 2 ? read_trainer(f.bytes, p) : f.number != 3 || read_normalizer(f.bytes, p);
    return good && !in.is_short;
}

typedef struct piece {
    nb_text text;
    float score;
    uint64_t type;
} piece;

/* The next piece; false at the end. */
static bool next_piece(nb_cursor *in, const proto *p, piece *out) {
    field f;
    while (next_field(in, p->whole.size, &f)) {
        if (f.number != 1)
            continue;
        *out = (piece){.type = NORMAL};
        nb_cursor inner = over(f.bytes);
        for (field g; next_field(&inner, f.bytes.size, &g);) {
            uint32_t bits = (uint32_t)g.value;
            if (g.number == 1)
                out->text = g.bytes;
            else if (g.number == 2)
                memcpy(&out->score, &bits, sizeof bits);
            else if (g.number == 3)
                out->type = g.value;
        }
        return true;
    }
    return false;
}

static nb_text piece_of(const proto *p, int64_t id) {
    nb_cursor in = over(p->whole);
    piece it = {0};
    for (int64_t i = 0; next_piece(&in, p, &it); i++)
        if (i == id)
            return it.text;
    return (nb_text){0};
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void write_type(nb_writer *w, const char *key, const char *type) {
    nb_json_open(w, key, '{');
    nb_json_string(w, "type", nb_text_of(type));
}

static void write_vocabulary(nb_writer *w, const proto *p) {
    nb_json_open(w, "vocab", '[');
    nb_cursor in = over(p->whole);
    for (piece it; next_piece(&in, p, &it);) {
        nb_json_open(w, NULL, '[');
        nb_json_string(w, NULL, it.text);
        nb_json_number(w, NULL, (double)it.score);
        nb_json_close(w, ']');
    }
    nb_json_close(w, ']');
}

static void write_added(nb_writer *w, const proto *p) {
    nb_json_open(w, "added_tokens", '[');
    nb_cursor in = over(p->whole);
    piece it;
    for (uint32_t id = 0; next_piece(&in, p, &it); id++) {
        if (it.type < UNKNOWN_PIECE || it.type > USER_DEFINED || !it.text.size)
            continue;
        nb_json_open(w, NULL, '{');
        nb_json_number(w, "id", id);
        nb_json_string(w, "content", it.text);
        nb_json_bool(w, "special", it.type != USER_DEFINED);
        nb_json_bool(w, "normalized", false);
        nb_json_close(w, '}');
    }
    nb_json_close(w, ']');
}

static void write_base64(nb_writer *w, nb_text bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    nb_write_bytes(w, "\"", 1);
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t n = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < n ? (uint8_t)bytes.data[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            nb_write_bytes(w, k <= n ? &digits[bits >> (18 - 6 * k) & 63] : "=", 1);
    }
    nb_write_bytes(w, "\"", 1);
}

/* The step Replace: what matches the pattern becomes a space. */
static void write_space(nb_writer *w, const char *pattern_type, const char *pattern) {
    write_type(w, NULL, "Replace");
    nb_json_open(w, "pattern", '{');
    nb_json_string(w, pattern_type, nb_text_of(pattern));
    nb_json_close(w, '}');
    nb_json_string(w, "content", nb_text_of(" "));
    nb_json_close(w, '}');
}

static void write_normalizers(nb_writer *w, const proto *p) {
    write_type(w, "normalizer", "Sequence");
    nb_json_open(w, "normalizers", '[');
    if (p->charsmap.size) {
        write_type(w, NULL, "Precompiled");
        nb_write(w, ",\"precompiled_charsmap\":");
        write_base64(w, p->charsmap);
        nb_json_close(w, '}');
    }
    if (p->remove_spaces) {
        write_type(w, NULL, "Strip");
        nb_json_bool(w, "strip_left", true);
        nb_json_bool(w, "strip_right", true);
        nb_json_close(w, '}');
        write_space(w, "Regex", " {2,}");
    }
    nb_json_close(w, ']');
    nb_json_close(w, '}');
}

static void write_metaspace(nb_writer *w, const char *key, const proto *p) {
    write_type(w, key, "Metaspace");
    nb_json_string(w, "replacement", nb_text_of("\xe2\x96\x81"));
    nb_json_string(w, "prepend_scheme", nb_text_of(p->dummy_prefix ? "first" : "never"));
    nb_json_bool(w, "split", false);
    nb_json_bool(w, "prepend_spaced", true); /* nibble's key: a space is added even before one */
    nb_json_close(w, '}');
}

static void write_decoders(nb_writer *w, const proto *p) {
    write_type(w, "decoder", "Sequence");
    nb_json_open(w, "decoders", '[');
    write_space(w, "String", "\xe2\x96\x81");
    if (p->byte_fallback) {
        write_type(w, NULL, "ByteFallback");
        nb_json_close(w, '}');
    }
    write_type(w, NULL, "Fuse");
    nb_json_close(w, '}');
    write_type(w, NULL, "Strip");
    nb_json_string(w, "content", nb_text_of(" "));
    nb_json_number(w, "start", (double)p->dummy_prefix);
    nb_json_number(w, "stop", 0);
    nb_json_close(w, '}');
    nb_json_close(w, ']');
    nb_json_close(w, '}');
}

static void write_special(nb_writer *w, nb_text name) {
    nb_json_open(w, NULL, '{');
    nb_json_open(w, "SpecialToken", '{');
    nb_json_string(w, "id", name);
    nb_json_close(w, '}');
    nb_json_close(w, '}');
}

/* The token that the key names, or the piece with this id. */
static nb_text token_name(const proto *p, nb_node config, const char *key, int64_t id) {
    nb_node token = nb_node_find(config, key);
    nb_text name = nb_node_raw(nb_node_first(token) == '{' ? nb_node_find(token, "content") : token);
    return name.size ? name : piece_of(p, id);
}

static void write_around(nb_writer *w, const proto *p, nb_node config, bool unigram_class) {
    nb_text begin = token_name(p, config, "bos_token", p->begin), end = token_name(p, config, "eos_token", p->end);
    write_type(w, "post_processor", "TemplateProcessing");
    nb_json_open(w, "single", '[');
    if (nb_node_is_set(config, "add_bos_token", false) && begin.size)
        write_special(w, begin);
    nb_json_open(w, NULL, '{');
    nb_json_open(w, "Sequence", '{');
    nb_json_close(w, '}');
    nb_json_close(w, '}');
    if ((unigram_class || nb_node_is_set(config, "add_eos_token", false)) && end.size)
        write_special(w, end);
    nb_json_close(w, ']');
    nb_json_close(w, '}');
}

static void write_json(nb_writer *w, const proto *p, nb_node config, const nb_tokenizer_class *class) {
    bool bpe = p->model_type == BPE || class->kind == NB_TOKENIZER_LLAMA; /* LlamaTokenizer treats any model as BPE */
    nb_json_open(w, NULL, '{');
    write_added(w, p);
    write_normalizers(w, p);
    write_metaspace(w, "pre_tokenizer", p);
    write_decoders(w, p);
    write_around(w, p, config, class->kind == NB_TOKENIZER_UNIGRAM);
    write_type(w, "model", bpe ? "BPE" : "Unigram");
    nb_json_number(w, "unk_id", (double)p->unknown);
    nb_json_bool(w, "byte_fallback", p->byte_fallback != 0);
    write_vocabulary(w, p);
    nb_json_close(w, '}');
    nb_json_close(w, '}');
}

int32_t nb_sentencepiece_json(const uint8_t *bytes, size_t n, nb_node tokenizer_config, nb_node config, uint8_t **json,
                              size_t *size, nb_error *err) {
    proto p;
    if (!read_proto((nb_text){(const char *)bytes, n}, &p) || !piece_of(&p, 0).size)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tokenizer.model is not a model of sentencepiece, or is damaged; download it again, or add the "
                       "tokenizer.json that transformers makes from it");
    if ((p.model_type != UNIGRAM && p.model_type != BPE) || p.suffix || !p.escape)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tokenizer.model: only the types unigram and bpe are supported, with U+2581 for spaces "
                       "before words; add the tokenizer.json that transformers makes from it");
    nb_tokenizer_class class = nb_tokenizer_class_of(tokenizer_config, config);
    nb_writer measured = nb_writer_over(NULL, 0);
    write_json(&measured, &p, tokenizer_config, &class);
    char *text = nb_alloc(measured.length + 1);
    if (!text)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the %z bytes that tokenizer.model stands for",
                       measured.length);
    nb_writer w = nb_writer_over(text, measured.length + 1);
    write_json(&w, &p, tokenizer_config, &class);
    *json = (uint8_t *)text;
    *size = measured.length;
    return NB_OK;
}
