/* F32 -> blocks: rows of weights to tensor types, and which type a tensor of a model becomes.
 *
 * The types of GGUF get the bytes that llama.cpp gives them without an importance matrix; NF4, FP4 and int8 those of
 * bitsandbytes on a CPU. They need no memory but a few KB of stack. Numbers that are not finite give a block of some
 * codes, no error: look for them before, if they matter. */
#ifndef NB_QUANTIZE_H
#define NB_QUANTIZE_H

#include "../base/writer.h"
#include "../types/types.h"

/* n weights, a row of a tensor, a multiple of the type's block_weights -> blocks of the type, aligned as they are. */
typedef void nb_quantize(const float *x, void *blocks, size_t n);

nb_quantize *nb_quantizer_of(uint32_t type); /* NULL: nibble does not write this type */

void nb_quantize_nf4(const float *x, void *blocks, size_t n);
void nb_quantize_fp4(const float *x, void *blocks, size_t n);
void nb_quantize_q2_k(const float *x, void *blocks, size_t n);
void nb_quantize_q3_k(const float *x, void *blocks, size_t n);
void nb_quantize_q4_k(const float *x, void *blocks, size_t n);
void nb_quantize_q5_k(const float *x, void *blocks, size_t n);
void nb_quantize_q6_k(const float *x, void *blocks, size_t n);

/* LLM.int8() (Dettmers et al. 2022, section 3): the row as Q8_0, whose blocks all have the scale of the row. The codes
 * are bitsandbytes'; its scale, of F32, is rounded to binary16. */
void nb_quantize_int8(const float *x, void *blocks, size_t n);

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
    bool is_tied; /* there is no output.weight: token_embd.weight is it */
} nb_preset_facts;

const nb_preset *nb_preset_of(nb_text name); /* NULL: there is none of that name */
void nb_preset_list(nb_writer *w);           /* their names, with commas between them */

/* The type that a tensor becomes, by its name in GGUF, the number of its dimensions and the length of its rows;
 * NB_TYPE_LIMIT: it stays what it is. */
uint32_t nb_preset_type(const nb_preset *preset, nb_text name, uint32_t dimensions, uint64_t columns,
                        const nb_preset_facts *facts);

/* What makes blocks of that type: "int8" fills Q8_0 in a way of its own. */
nb_quantize *nb_preset_quantizer(const nb_preset *preset, uint32_t type);

#endif
