/* F32 -> blocks: rows of weights to tensor types, and which type a tensor of a model becomes.
 *
 * The types of GGUF get the bytes that llama.cpp gives them, with an importance matrix or without; NF4, FP4 and int8
 * those of bitsandbytes on a CPU. (IQ3_S is another one where 32 weights are zeros: llama.cpp misplaces what follows
 * them.) Numbers that are not finite give a block of some codes, no error: look for them before, if they matter. The
 * encoders allocate nothing. */
#ifndef NB_QUANTIZE_H
#define NB_QUANTIZE_H

#include "../base/error.h"
#include "../base/writer.h"
#include "../types/types.h"

/* Which entries of a type's grid are near to the points that it lacks. */
typedef struct nb_neighbours nb_neighbours;

/* How many bytes they take, up to 0.7 MB; 0 for types without a grid. */
size_t nb_neighbours_bytes(uint32_t type);

/* Writes them into so many bytes, aligned as a pointer is. It takes some tenths of a second: do it once for many
 * rows. */
const nb_neighbours *nb_neighbours_fill(void *memory, uint32_t type);

/* How rows are encoded. All zero: as llama.cpp does without an importance matrix. */
typedef struct nb_encoding {
    /* [columns] What the square of an error in each column counts: the mean of the squares that the column is
     * multiplied with. NULL: all columns count alike, and each type weights errors in its own way. nb_importance_check
     * says whether the numbers are any good; bad ones give codes that fit badly, and no other harm. Q8_0, TQ1_0, TQ2_0,
     * Q1_0, Q2_0, F16, BF16 and bitsandbytes' types have no use for it, MXFP4 and NVFP4 only with `best`. */
    const float *importance;

    /* A wider search than the reference's, for less error: the sum of importance (NULL: 1) times the squares of what
     * the weights are off. Of the types Q4_0 to Q5_1, Q2_K to Q6_K, IQ4, IQ3, IQ2, MXFP4, NVFP4, and without importance
     * IQ1_M; the others have none. */
    bool best;

    /* Of the type, for those that have a grid (IQ1, IQ2, IQ3); others leave it NULL. */
    const nb_neighbours *neighbours;
} nb_encoding;

/* An error if an importance is negative or not finite, or if all n are 0. Some of them may be 0. */
int32_t nb_importance_check(const float *importance, size_t n, nb_error *err);

/* n weights, a row of a tensor, a multiple of the type's block_weights -> blocks of the type, aligned as they are. */
typedef void nb_quantize(const nb_encoding *how, const float *x, void *blocks, size_t n);

/* NULL: nibble does not write this type, or it has a grid. */
nb_quantize *nb_quantizer_of(uint32_t type);

/* The same for the types with a grid, IQ1, IQ2 and IQ3, whose encoding needs neighbours. */
nb_quantize *nb_grid_quantizer_of(uint32_t type);

/* One of both; NULL: nibble does not write this type. */
nb_quantize *nb_encoder_of(uint32_t type);

nb_quantize nb_quantize_q2_k, nb_quantize_q3_k, nb_quantize_q4_k, nb_quantize_q5_k, nb_quantize_q6_k,
    nb_quantize_iq4_nl, nb_quantize_iq4_xs, nb_quantize_mxfp4, nb_quantize_nvfp4, nb_quantize_tq1_0, nb_quantize_tq2_0,
    nb_quantize_q1_0, nb_quantize_q2_0, nb_quantize_nf4, nb_quantize_fp4, nb_quantize_iq3_s, nb_quantize_iq3_xxs,
    nb_quantize_iq2_s, nb_quantize_iq2_xs, nb_quantize_iq2_xxs, nb_quantize_iq1_s, nb_quantize_iq1_m;

/* LLM.int8() (Dettmers et al. 2022, section 3): the row as Q8_0, whose blocks all have the scale of the row. The codes
 * are bitsandbytes'; its scale, of F32, is rounded to binary16. */
nb_quantize nb_quantize_int8;

/* Double quantization (Dettmers et al. 2023, section 3): the d of all blocks of a tensor of NF4 or FP4, n of them,
 * become what bitsandbytes makes of them, codes of 8 bits for runs of 256, and are written back as what those stand
 * for. codes: NULL, or where to put them. */
void nb_quantize_scales(nb_block_nf4 *blocks, uint8_t *codes, size_t n);

/* ---- which type a tensor becomes --------------------------------------------------------------------------------- */

/* "q4_0", "q4_k_m", ...: what llama.cpp's file types of those names hold; "nf4", "fp4", "int8": what bitsandbytes
 * quantizes, a layer's matrices. Which there are: presets.c. */
typedef struct nb_preset nb_preset;

/* Of the model: what GGUF's keys say. */
typedef struct nb_preset_facts {
    nb_text architecture;
    uint32_t layers, heads, kv_heads, experts;
    uint32_t downs;      /* how many tensors' names have "ffn_down" */
    bool is_tied;        /* there is no output.weight: token_embd.weight is it */
    bool has_importance; /* there is an importance matrix, with which llama.cpp chooses otherwise in places */
} nb_preset_facts;

const nb_preset *nb_preset_of(nb_text name); /* NULL: there is none of that name */
void nb_preset_list(nb_writer *w);           /* their names, with commas between them */

enum { NB_NO_FILE_TYPE = -1 };
/* The number of GGUF's general.file_type, or NB_NO_FILE_TYPE: llama.cpp has no such files. */
int32_t nb_preset_file_type(const nb_preset *preset);

/* The type that a tensor should become, by its name in GGUF, the number of its dimensions and the length of its rows;
 * NB_TYPE_LIMIT: it stays what it is. */
uint32_t nb_preset_type(const nb_preset *preset, nb_text name, uint32_t dimensions, uint64_t columns,
                        const nb_preset_facts *facts);

/* Whether a tensor of this name counts among `downs`. */
bool nb_preset_is_down(nb_text name);

/* This type if rows of so many columns are whole blocks of it. Else what llama.cpp takes in its place: a type of blocks
 * of 32, or half precision. */
uint32_t nb_fitting_type(uint32_t type, uint64_t columns);

/* Whether llama.cpp refuses to make this type of the tensor without an importance matrix, because the result would be
 * of little use. */
bool nb_preset_needs_importance(const nb_preset *preset, nb_text name, uint32_t type);

/* What makes blocks of that type: "int8" fills Q8_0 in a way of its own. */
nb_quantize *nb_preset_quantizer(const nb_preset *preset, uint32_t type);

#endif
