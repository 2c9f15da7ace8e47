/* nibble's converter: any files that make a model -> one GGUF file, byte by byte, as the engine (nibble.h) reads it. It
 * is a WebAssembly module of its own, which is fetched only for models that are not one GGUF file already, as a
 * Hugging Face folder or a GGUF that is split, and where weights are to be quantized while they are loaded.
 *
 *   nb_converter  takes the files' bytes in pieces and gives the GGUF's, as soon as they are known: what waits in
 *                 memory is the header, and those tensors that are not whole yet of which one matrix is made.
 *
 * The way of the data: each file is begun, its bytes given until no more are needed (of weights: the header), and it is
 * ended. nb_converter_next then says which weights to give. After each of these calls nb_converter_take is asked for
 * the GGUF's next bytes until it has none.
 *
 * The rules of nibble.h hold, and its errors; nb_alloc and nb_free are there too. */
#ifndef NIBBLE_CONVERT_H
#define NIBBLE_CONVERT_H

#include "nibble.h"

#pragma GCC visibility push(default)

typedef struct nb_converter nb_converter;

enum {
    NB_CONVERT_ALL = 0,
    NB_CONVERT_HEADER = 1 /* the GGUF's header only; files may be cut off after theirs */
};

nb_converter *nb_converter_new(uint32_t flags, nb_error *err);
void nb_converter_free(nb_converter *converter); /* NULL is fine */

/* How weights are quantized. FILE: the GGUF is a file for others to read, and no model that is being loaded. So it says
 * what llama.cpp's files say of themselves (general.file_type), weights that were quantized before are refused instead
 * of left as they are, and all numbers must be finite. */
enum {
    NB_QUANTIZE_PLAINLY = 0,
    NB_QUANTIZE_DOUBLY = 1, /* NF4's and FP4's scales, too (Dettmers et al. 2023, section 3) */
    NB_QUANTIZE_BEST = 2,   /* a wider search than llama.cpp's */
    NB_QUANTIZE_FILE = 4,
    NB_QUANTIZE_AGAIN = 8 /* weights that were quantized before, too */
};

/* Before the first file: the model's floating-point matrices are quantized as they pass. preset: "q8_0", "q4_k_m", ...,
 * what llama.cpp puts into files of those names; or "nf4", "fp4", "int8", what bitsandbytes does with a model. */
int32_t nb_converter_quantize(nb_converter *converter, const char *preset, size_t preset_bytes, uint32_t flags,
                              nb_error *err);

/* A file of the model: a GGUF, the parts of a split one in their order, or a Hugging Face folder's config.json,
 * generation_config.json, tokenizer.json (or tokenizer.model and added_tokens.json), tokenizer_config.json,
 * special_tokens_map.json, chat_template.jinja, quantize_config.json, quant_config.json or *.safetensors; of
 * sentence-transformers also modules.json, config_sentence_transformers.json, sentence_bert_config.json, and
 * config.json and model.safetensors in the folders of modules. name: UTF-8, without folders but for these.
 * total_bytes: the file's size if known, else 0 (a double, exact to 2^53). */
int32_t nb_converter_begin(nb_converter *converter, const char *name, size_t name_bytes, double total_bytes,
                           nb_error *err);
int32_t nb_converter_end(nb_converter *converter, nb_error *err);

/* Before the plan: the file of an importance matrix (llama.cpp's imatrix, .dat or GGUF), which the quantizers heed. The
 * bytes are copied. */
int32_t nb_converter_importance(nb_converter *converter, const uint8_t *bytes, size_t n, nb_error *err);

/* Before the plan: of `parts` converters, which are all given the same files, this one is number `part`. Each quantizes
 * some of the rows and gives zeros for the others, so that the GGUF is the bitwise or of what all give. */
int32_t nb_converter_share(nb_converter *converter, uint32_t part, uint32_t parts, nb_error *err);

/* A tensor of the GGUF. Types: NB_TYPE_... (types/types.h). Names are UTF-8 with a zero behind them; longer ones are
 * cut. */
typedef struct nb_planned_tensor {
    double at, bytes; /* where the GGUF has it; 0 before the first nb_converter_next, and if it is left out */
    uint32_t columns, rows, matrices;
    uint32_t source_type; /* of the weights in the files; of other libraries' codes, the type that they become */
    uint32_t wanted_type; /* what the preset, or nb_converter_choose, gives it */
    uint32_t type;        /* what it gets: another one if its rows are no whole blocks of the wanted type */
    uint32_t name_bytes, source_name_bytes;
    char name[256];
    char source_name[256]; /* in the files; of several sources one of them */
} nb_planned_tensor;

/* All files have been begun and ended: plans the GGUF, and returns how many tensors it has. Whoever does not ask for
 * the plan leaves it to nb_converter_next. */
int32_t nb_converter_plan(nb_converter *converter, nb_error *err);
int32_t nb_converter_planned(const nb_converter *converter, uint32_t i, nb_planned_tensor *tensor, nb_error *err);
/* For whoever writes a folder's matrix back in the order of the files: rows [rows of tensor i] says which of the files'
 * rows each row is. Returns 1 if the files have the matrix transposed, else 0. A tensor that is no matrix of one source
 * is an error that names it. */
int32_t nb_converter_rows(const nb_converter *converter, uint32_t i, uint32_t *rows, nb_error *err);
/* Before nb_converter_next: the tensor is quantized to this type, whatever the preset says, if it is a matrix that
 * may be quantized at all. Returns 1 if so, 0 if it stays as it is. After nb_converter_again only for a tensor that is
 * NB_TENSOR_BLANK. */
int32_t nb_converter_choose(nb_converter *converter, uint32_t i, uint32_t type, nb_error *err);
/* Before nb_converter_next: the GGUF says under "nibble.simulated" that its weights were rounded to such a grid, and
 * are floating-point numbers all the same. */
int32_t nb_converter_simulated(nb_converter *converter, const char *grid, size_t grid_bytes, nb_error *err);
/* What the GGUF has of a tensor. */
enum {
    NB_TENSOR_MADE = 0,  /* its weights */
    NB_TENSOR_BLANK = 1, /* zeros, which somebody else writes over: nothing of it is read */
    NB_TENSOR_ABSENT = 2 /* nothing: it is not in the header either */
};

/* Before nb_converter_next: what the GGUF has of tensor i. Weights that are not needed are not asked for either:
 * nb_converter_next then names a file more than once, with another offset. */
int32_t nb_converter_include(nb_converter *converter, uint32_t i, uint32_t how, nb_error *err);

/* Before nb_converter_next: of a matrix's rows the GGUF has only these n, which ascend, and its shape says so. Returns
 * 1; or 0 if this converter cannot pick rows of that tensor, as its numbers change their places: then the GGUF has all.
 * It stays so in all GGUFs that follow. */
int32_t nb_converter_pick(nb_converter *converter, uint32_t i, const uint32_t *rows, uint32_t n, nb_error *err);

/* Adds what LLM.int8() keeps in 16 bits of matrix i of the plan, X.weight: X.outliers F16 [rows, n] and
 * X.outlier_columns I32 [n], both NB_TENSOR_BLANK, at the end of the plan. Before nb_converter_next. */
int32_t nb_converter_outliers(nb_converter *converter, uint32_t i, uint32_t n, nb_error *err);

/* When a GGUF is complete, or before: another one of the same files can be made, with other tensors. The plan, the
 * types that were chosen and what is included stay. */
int32_t nb_converter_again(nb_converter *converter, nb_error *err);

/* Bytes of the whole GGUF, once the first nb_converter_next was called; before that 0. */
double nb_converter_total(const nb_converter *converter);

/* Where the file's next bytes go, and how many fit; *capacity = 0: no more are needed. Good until the next call. */
uint8_t *nb_converter_space(nb_converter *converter, size_t *capacity);
/* Takes the n <= capacity bytes that were written there. All that nb_converter_take gave is used up then. */
int32_t nb_converter_commit(nb_converter *converter, size_t n, nb_error *err);

/* All files have been begun and ended: which weights to give now, those of the N-th file of weights, N = 1, 2, ...,
 * from *offset on. 0: all are there. */
int32_t nb_converter_next(nb_converter *converter, double *offset, nb_error *err);

/* Where the weights begin that are needed of the N-th such file, which may be fetched ahead of its turn; 0: none are.
 * Known from the first nb_converter_next on. */
double nb_converter_offset(const nb_converter *converter, int32_t number);

/* The GGUF's next bytes, and how many; 0: more of the files is needed for more. Good until the next call. */
int32_t nb_converter_take(nb_converter *converter, const uint8_t **bytes, nb_error *err);

#pragma GCC visibility pop

#endif
