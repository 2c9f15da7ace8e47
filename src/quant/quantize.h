/* Encodes rows of F32 weights as blocks of a tensor type, and chooses the type of a model's tensors.
 *
 * Blocks of GGUF's types have the same bytes as llama.cpp's, with or without an importance matrix. NF4, FP4 and int8
 * have those of bitsandbytes on a CPU. (One difference: in IQ3_S llama.cpp misplaces what follows a group of 32 zeros.)
 * Numbers that are not finite give arbitrary codes and no error, so check for them before. The encoders allocate
 * nothing. */
#ifndef NB_QUANTIZE_H
#define NB_QUANTIZE_H

#include "../base/error.h"
#include "../base/writer.h"
#include "../types/types.h"

/* For the points that a type's grid lacks: the entries near to each. */
typedef struct nb_neighbours nb_neighbours;

/* Their size in bytes, up to 0.7 MB; 0 for types without a grid. */
size_t nb_neighbours_bytes(uint32_t type);

/* Writes them into that many bytes, aligned to a pointer. It takes some tenths of a second, so do it once for many
 * rows. */
const nb_neighbours *nb_neighbours_fill(void *memory, uint32_t type);

/* How rows are encoded. All zero: as by llama.cpp without an importance matrix. */
typedef struct nb_encoding {
    /* [columns] The weight of a squared error in each column: the mean square of the column's inputs. NULL: all columns
     * are equally important, and each type weights errors in its own way. Numbers that nb_importance_check refuses do
     * no harm but give codes that fit badly. Q8_0, TQ1_0, TQ2_0, Q1_0, Q2_0, F16, BF16 and bitsandbytes' types do not
     * use it, MXFP4 and NVFP4 only with `best`. */
    const float *importance;

    /* Search more widely than llama.cpp for less error, the sum of importance (NULL: 1) times squared errors. Q4_0 to
     * Q5_1, Q2_K to Q6_K, IQ4, IQ3, IQ2, MXFP4, NVFP4, and without importance IQ1_M have such a search. */
    bool best;

    /* The neighbours of the type's grid (IQ1, IQ2, IQ3); NULL for other types. */
    const nb_neighbours *neighbours;
} nb_encoding;

/* An error if an importance is negative or not finite, or if all n are 0. */
int32_t nb_importance_check(const float *importance, size_t n, nb_error *err);

/* A row of n weights, a multiple of the type's block_weights -> blocks of the type, which must be aligned. */
typedef void nb_quantize(const nb_encoding *how, const float *x, void *blocks, size_t n);

/* The encoder of a type without a grid. NULL: nibble does not write this type, or it has a grid. */
nb_quantize *nb_quantizer_of(uint32_t type);

/* The encoder of a type with a grid, IQ1, IQ2 or IQ3, which needs neighbours. */
nb_quantize *nb_grid_quantizer_of(uint32_t type);

/* The encoder of any type. NULL: nibble does not write this type. */
nb_quantize *nb_encoder_of(uint32_t type);

nb_quantize nb_quantize_q2_k, nb_quantize_q3_k, nb_quantize_q4_k, nb_quantize_q5_k, nb_quantize_q6_k,
    nb_quantize_iq4_nl, nb_quantize_iq4_xs, nb_quantize_mxfp4, nb_quantize_nvfp4, nb_quantize_tq1_0, nb_quantize_tq2_0,
    nb_quantize_q1_0, nb_quantize_q2_0, nb_quantize_nf4, nb_quantize_fp4, nb_quantize_iq3_s, nb_quantize_iq3_xxs,
    nb_quantize_iq2_s, nb_quantize_iq2_xs, nb_quantize_iq2_xxs, nb_quantize_iq1_s, nb_quantize_iq1_m;

/* LLM.int8() (Dettmers et al. 2022, section 3): the row as Q8_0, with the row's scale in all blocks. The codes are
 * those of bitsandbytes. Its F32 scale is rounded to binary16. */
nb_quantize nb_quantize_int8;

/* Double quantization (Dettmers et al. 2023, section 3): rounds the d of all n blocks of a tensor of NF4 or FP4 as
 * bitsandbytes does, to codes of 8 bits with a scale for each 256. codes: where these codes go, or NULL. */
void nb_quantize_scales(nb_block_nf4 *blocks, uint8_t *codes, size_t n);

/* ---- which type a tensor becomes --------------------------------------------------------------------------------- */

/* "q4_0", "q4_k_m", ...: the types of llama.cpp's file types of these names. "nf4", "fp4", "int8": the matrices of
 * layers are quantized, as by bitsandbytes. presets.c lists them all. */
typedef struct nb_preset nb_preset;

/* Facts about the model, from GGUF's keys. */
typedef struct nb_preset_facts {
    nb_text architecture;
    uint32_t layers, heads, kv_heads, experts;
    uint32_t downs;      /* tensors with "ffn_down" in their names */
    bool is_tied;        /* there is no output.weight: token_embd.weight is used for it */
    bool has_importance; /* there is an importance matrix: llama.cpp then chooses other types for some tensors */
} nb_preset_facts;

const nb_preset *nb_preset_of(nb_text name); /* NULL: unknown name */
void nb_preset_list(nb_writer *w);           /* writes all names, separated by commas */

enum { NB_NO_FILE_TYPE = -1 };
/* GGUF's general.file_type, or NB_NO_FILE_TYPE if llama.cpp has no such files. */
int32_t nb_preset_file_type(const nb_preset *preset);

/* The type for a tensor, chosen by its name in GGUF, the number of its dimensions and the length of its rows.
 * NB_TYPE_LIMIT: it keeps its type. */
uint32_t nb_preset_type(const nb_preset *preset, nb_text name, uint32_t dimensions, uint64_t columns,
                        const nb_preset_facts *facts);

/* Whether a tensor of this name counts among `downs`. */
bool nb_preset_is_down(nb_text name);

/* This type if rows of so many columns are whole blocks of it. Else the type that llama.cpp falls back to: one with
 * blocks of 32, or F16. */
uint32_t nb_fitting_type(uint32_t type, uint64_t columns);

/* Whether llama.cpp refuses to make this type of the tensor without an importance matrix, because the result would be
 * of little use. */
bool nb_preset_needs_importance(const nb_preset *preset, nb_text name, uint32_t type);

/* The encoder of a preset for a type: "int8" has its own encoder for Q8_0. */
nb_quantize *nb_preset_quantizer(const nb_preset *preset, uint32_t type);

#endif
