/* nibble's converter makes one GGUF file, which the engine (nibble.h) reads, out of the files of a model. It is a
 * WebAssembly module of its own. It is fetched only if a model is not a single GGUF file already (but a Hugging Face
 * folder, or a split GGUF), or if weights are to be quantized while they are loaded.
 *
 *   nb_converter  takes the bytes of the files in pieces, and gives the bytes of the GGUF as soon as they are known. It
 *                 keeps in memory only the header, and tensors that wait for others of the same matrix.
 *
 * In this order:
 *   1. For each file: nb_converter_begin, its bytes (nb_converter_space, nb_converter_commit) until no more are needed,
 *      which for weights is the end of their header, and nb_converter_end.
 *   2. nb_converter_next says which weights to give, again and again until it returns 0.
 * After each of these calls, call nb_converter_take until it has no more bytes of the GGUF.
 *
 * The rules and errors of nibble.h apply; nb_alloc and nb_free are here, too. */
#ifndef NIBBLE_CONVERT_H
#define NIBBLE_CONVERT_H

#include "nibble.h"

#pragma GCC visibility push(default)

typedef struct nb_converter nb_converter;

enum {
    NB_CONVERT_ALL = 0,
    NB_CONVERT_HEADER = 1 /* only the GGUF's header; the files may end after their headers */
};

nb_converter *nb_converter_new(uint32_t flags, nb_error *err);
void nb_converter_free(nb_converter *converter); /* NULL is fine */

/* How weights are quantized. NB_QUANTIZE_FILE: the GGUF is a file for other programs, not a model that is being loaded.
 * So it describes itself as llama.cpp's files do (general.file_type), weights that are quantized already are refused
 * instead of kept, and all numbers must be finite. */
enum {
    NB_QUANTIZE_PLAINLY = 0,
    NB_QUANTIZE_DOUBLY = 1, /* double quantization: the scales of NF4 and FP4, too (Dettmers et al. 2023, section 3) */
    NB_QUANTIZE_BEST = 2,   /* a wider search for scales than llama.cpp's */
    NB_QUANTIZE_FILE = 4,
    NB_QUANTIZE_AGAIN = 8 /* weights that are quantized already, too */
};

/* Before the first file: the model's floating-point matrices will be quantized. preset: "q8_0", "q4_k_m", ..., with the
 * types that llama.cpp gives to files of these names; or "nf4", "fp4", "int8", as bitsandbytes quantizes a model. */
int32_t nb_converter_quantize(nb_converter *converter, const char *preset, size_t preset_bytes, uint32_t flags,
                              nb_error *err);

/* Before the first file: the files are not a model's but a LoRA adapter's, adapter_config.json and
 * adapter_model.safetensors as PEFT writes them. The GGUF is one for nb_adapter_new. architecture: of the adapter's
 * model in GGUF, such as "llama"; head_size: of its query and key heads. */
int32_t nb_converter_adapter(nb_converter *converter, const char *architecture, size_t architecture_bytes,
                             uint32_t head_size, nb_error *err);

/* Begins a file of the model. It is a GGUF; the parts of a split GGUF in their order; or a file of a Hugging Face
 * folder: config.json, generation_config.json, tokenizer.json (or tokenizer.model and added_tokens.json),
 * tokenizer_config.json, special_tokens_map.json, chat_template.jinja, quantize_config.json, quant_config.json or
 * *.safetensors; of sentence-transformers also modules.json, config_sentence_transformers.json,
 * sentence_bert_config.json, and config.json and model.safetensors in the folders of modules. name: UTF-8, without
 * folders except those of modules. total_bytes: the file's size, or 0 if unknown (a double, exact to 2^53). */
int32_t nb_converter_begin(nb_converter *converter, const char *name, size_t name_bytes, double total_bytes,
                           nb_error *err);
int32_t nb_converter_end(nb_converter *converter, nb_error *err);

/* Before the plan: an importance matrix (llama.cpp's imatrix, a .dat or GGUF file), which the quantizers use. The bytes
 * are copied. */
int32_t nb_converter_importance(nb_converter *converter, const uint8_t *bytes, size_t n, nb_error *err);

/* Before the plan: `parts` converters share the work, and this one is number `part`. All are given the same files. Each
 * quantizes some of the rows and gives zeros for the others, so the bitwise or of all outputs is the GGUF. */
int32_t nb_converter_share(nb_converter *converter, uint32_t part, uint32_t parts, nb_error *err);

/* A tensor of the GGUF. Types: NB_TYPE_... (types/types.h). Names are UTF-8 and end with a zero; longer ones are
 * cut. */
typedef struct nb_planned_tensor {
    double at, bytes; /* offset and size in the GGUF; 0 before the first nb_converter_next, and if it is absent */
    uint32_t columns, rows, matrices;
    uint32_t source_type; /* of the weights in the files; for codes of other libraries, the type that they become */
    uint32_t wanted_type; /* that of the preset, or of nb_converter_choose */
    uint32_t type;        /* differs from the wanted type if the rows are not whole blocks of that */
    uint32_t name_bytes, source_name_bytes;
    char name[256];
    char source_name[256]; /* in the files; if it has several sources, one of them */
} nb_planned_tensor;

/* After all files have ended: plans the GGUF, and returns how many tensors it has. Without this call,
 * nb_converter_next plans. */
int32_t nb_converter_plan(nb_converter *converter, nb_error *err);
int32_t nb_converter_planned(const nb_converter *converter, uint32_t i, nb_planned_tensor *tensor, nb_error *err);
/* For writing a matrix in the order of the folder's files: rows[r] is the row of the files that became row r of tensor
 * i. Returns 1 if the files have the matrix transposed, else 0. A tensor that is not a matrix from one source is an
 * error. */
int32_t nb_converter_rows(const nb_converter *converter, uint32_t i, uint32_t *rows, nb_error *err);
/* Before nb_converter_next: quantizes tensor i to this type instead of the preset's. Returns 1; or 0 if it is not a
 * matrix that may be quantized, and stays as it is. After nb_converter_again only for a tensor that is
 * NB_TENSOR_BLANK. */
int32_t nb_converter_choose(nb_converter *converter, uint32_t i, uint32_t type, nb_error *err);
/* Before nb_converter_next: writes into the GGUF, under "nibble.simulated", that its weights are rounded to this grid
 * although they are stored as floating-point numbers. */
int32_t nb_converter_simulated(nb_converter *converter, const char *grid, size_t grid_bytes, nb_error *err);
/* What the GGUF has of a tensor. */
enum {
    NB_TENSOR_MADE = 0,  /* its weights */
    NB_TENSOR_BLANK = 1, /* zeros, which the caller overwrites: its weights are not read */
    NB_TENSOR_ABSENT = 2 /* nothing: it is not in the header either */
};

/* Before nb_converter_next: sets what the GGUF has of tensor i (NB_TENSOR_...). Weights that are not needed are not
 * asked for, so nb_converter_next may name a file more than once, each time with another offset. */
int32_t nb_converter_include(nb_converter *converter, uint32_t i, uint32_t how, nb_error *err);

/* Before nb_converter_next: the GGUF has only these n rows of a matrix, in ascending order, and its shape says so.
 * Returns 1; or 0 if the converter does not copy the tensor's rows as they are: then the GGUF has all rows. This also
 * applies to all GGUFs that follow. */
int32_t nb_converter_pick(nb_converter *converter, uint32_t i, const uint32_t *rows, uint32_t n, nb_error *err);

/* Before nb_converter_next: adds tensors for the n columns of matrix i, X.weight, that LLM.int8() keeps in 16 bits:
 * X.outliers F16 [rows, n] and X.outlier_columns I32 [n]. Both are NB_TENSOR_BLANK, at the end of the plan. */
int32_t nb_converter_outliers(nb_converter *converter, uint32_t i, uint32_t n, nb_error *err);

/* Begins another GGUF from the same files, with other tensors. The one before need not be complete. The plan, the
 * chosen types and what is included stay. */
int32_t nb_converter_again(nb_converter *converter, nb_error *err);

/* Bytes of the whole GGUF; 0 before the first nb_converter_next. */
double nb_converter_total(const nb_converter *converter);

/* Where to write the file's next bytes, and how many fit; *capacity = 0: no more are needed. Valid until the next
 * call. */
uint8_t *nb_converter_space(nb_converter *converter, size_t *capacity);
/* Consumes the n <= capacity bytes that were written there. Bytes from nb_converter_take are no longer valid then. */
int32_t nb_converter_commit(nb_converter *converter, size_t n, nb_error *err);

/* After all files have ended: returns N = 1, 2, ...: give the bytes of the N-th file of weights, from *offset on. 0:
 * all weights were given. */
int32_t nb_converter_next(nb_converter *converter, double *offset, nb_error *err);

/* Where the needed weights of the N-th such file begin, so that it can be fetched in advance; 0: none are needed. Known
 * after the first nb_converter_next. */
double nb_converter_offset(const nb_converter *converter, int32_t number);

/* *bytes: the GGUF's next bytes. Returns how many; 0: more bytes of the files are needed. Valid until the next call. */
int32_t nb_converter_take(nb_converter *converter, const uint8_t **bytes, nb_error *err);

#pragma GCC visibility pop

#endif
