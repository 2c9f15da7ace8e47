/* What a converter is going to write: the GGUF's values and tensors, and how each of these tensors (a target) is made
 * from tensors of the files (its sources). All of it is known before the first weight arrives. */
#ifndef NB_PLAN_H
#define NB_PLAN_H

#include "../nibble_convert.h"
#include "composer.h"
#include "../quant/imatrix.h"
#include "../quant/quantize.h"

enum { NB_NONE = UINT32_MAX };

/* What a source holds of its target. */
typedef enum nb_role {
    NB_ROLE_CODES, /* or all of it */
    NB_ROLE_SCALES,
    NB_ROLE_ZEROS,
    NB_ROLE_ORDER /* g_idx */,
    NB_ROLE_STATE /* its shape; of bitsandbytes more (quant_state) */,
    NB_ROLE_CODEBOOK,
    NB_ROLE_SCALE_CODEBOOK,
    NB_ROLE_SCALE_SCALES /* bitsandbytes' */
} nb_role;

/* What becomes of a tensor of the files. */
typedef struct nb_source {
    uint32_t target; /* NB_NONE: it is not needed */
    uint32_t role;
    uint32_t next;  /* another source of the same target, or NB_NONE */
    uint32_t row;   /* NB_AS_STACKED: the row, or the matrix, of the target that it becomes */
    uint8_t *bytes; /* owned: what has arrived, if it waits for other sources; else NULL */
} nb_source;

/* How a target's weights lie in its sources (arrangement.h). */
typedef enum nb_arrangement {
    NB_AS_ROWS, /* one source, row by row */
    NB_AS_GPTQ,
    NB_AS_AWQ,
    NB_AS_PACKED, /* compressed-tensors: the codes of a row in words of 32 bits */
    NB_AS_BYTES,  /* codes of eight bits */
    NB_AS_BLOCKS, /* bitsandbytes' NF4 and FP4 */
    NB_AS_ORDER,  /* the order of another target's columns */
    /* reshape.h: */
    NB_AS_TRANSPOSED,
    NB_AS_REGROUPED,
    NB_AS_PERMUTED,
    NB_AS_STACKED,
    NB_AS_NUMBERS /* no source: numbers from config.json */
} nb_arrangement;

/* Which library quantized a folder's weights. */
typedef enum nb_library { NB_BY_NOBODY, NB_BY_GPTQ, NB_BY_AWQ, NB_BY_BITSANDBYTES, NB_BY_COMPRESSED } nb_library;

typedef struct nb_quantization {
    nb_library library;
    uint32_t bits;        /* bits of a code: 2, 3, 4 or 8 */
    uint64_t group;       /* columns that share a scale; 0: the whole row */
    bool symmetric;       /* every zero point is the middle of the codes' range */
    bool ordered;         /* the columns of a group need not be adjacent (desc_act) */
    uint32_t zero_offset; /* stored zero points are smaller by this */
    bool by_tensors;      /* bits and group differ between modules: the shapes of their tensors tell them */
    bool has_inputs;      /* activations are quantized, too, which nibble does not do */
} nb_quantization;

typedef struct nb_target {
    nb_arrangement arrangement;
    uint32_t source_type;         /* the type of the source's weights; of codes, the type that they become */
    float shift;                  /* is added to each number of a vector */
    uint64_t skipped;             /* bytes at the source's beginning that are left out */
    uint32_t groups, group_heads; /* NB_AS_REGROUPED: groups, and heads in each; 0: nothing to regroup */
    uint32_t permuted;            /* rows of a head, if they are permuted (reshape.h); else 0 */
    uint32_t first;               /* its first source */
    uint32_t missing;             /* how many of its sources have not arrived */
    uint64_t columns;             /* by config.json; needed if the codes do not tell it */
    nb_quantization quantization; /* by the folder and by the target's own tensors */
    nb_quantize *quantize;        /* makes the target's blocks; NULL: weights keep their type */
    const float *importance;      /* [matrices, columns], in the plan's imatrix; or NULL */
    uint32_t wanted_type;         /* it gets another one if its rows are not whole blocks of this one */
    uint32_t after;               /* the target after which it is written, or NB_NONE */
    uint32_t how;                 /* NB_TENSOR_...: what the GGUF has of it */
    uint32_t *order;              /* owned: [columns]: each one's column in the files; NULL: the same */
    float *numbers;               /* owned: NB_AS_NUMBERS */
    uint32_t *rows;               /* owned: [n_rows]: the rows that the GGUF has (nb_converter_pick); NULL: all */
    uint32_t n_rows;
} nb_target;

/* Whether its numbers keep their values, but change their places (reshape.h). */
static inline bool nb_is_reshaped(const nb_target *t) {
    return t->arrangement >= NB_AS_TRANSPOSED;
}

/* The row of the files that becomes this row of the target. */
static inline uint64_t nb_row_in_files(const nb_target *t, uint64_t row) {
    uint64_t i = t->permuted ? row % t->permuted : 0;
    return t->permuted ? row - i + i % 2 * (t->permuted / 2) + i / 2 : row;
}

/* How weights are quantized. */
typedef struct nb_recipe {
    const nb_preset *preset;                  /* NULL: weights keep their types */
    bool double_quant, best, for_file, again; /* NB_QUANTIZE_... */
    uint32_t share, shares; /* which share of the rows is this converter's (nb_converter_share); shares = 0: all */
    nb_imatrix *imatrix;    /* owned; NULL: all columns weigh the same */
} nb_recipe;

/* Whether the converter makes it and no file has it. */
static inline bool nb_is_generated(const nb_target *t) {
    return t->arrangement == NB_AS_ORDER || t->arrangement == NB_AS_NUMBERS;
}

typedef struct nb_plan {
    nb_recipe recipe;
    nb_checkpoint in;        /* the files' tensors in their order; their values only if they are GGUF */
    nb_checkpoint out;       /* the GGUF's tensors in the order of writing; the values that `in` lacks */
    nb_composer in_composer; /* composes `in` if the files are not GGUF */
    nb_composer composer;    /* composes `out` */
    nb_source *sources;      /* [in.n_tensors] */
    nb_target *targets;      /* [out.n_tensors] */
    uint64_t targets_capacity;
    uint32_t *index;              /* owned: a hash table [index_size] from names to targets; NB_NONE: a free slot */
    uint64_t index_size;          /* a power of two */
    uint64_t looked_up, steps;    /* look-ups in the index, and probes that met another name */
    nb_quantization quantization; /* of the folder */
    bool is_partial;              /* not all targets are made */
    const struct nb_hf_family *adapted; /* the folder is an adapter of such a model (peft.h); NULL: a model */
    uint32_t adapted_head;              /* rows of a head of its q and k */
} nb_plan;

void nb_plan_free(nb_plan *plan);

/* Begins with sources that have no targets yet. */
int32_t nb_plan_begin(nb_plan *plan, nb_error *err);

/* The target of this name. If there is none, a new one without type and shape. NB_NONE: it failed with
 * plan->composer.code. */
uint32_t nb_plan_target(nb_plan *plan, nb_text name);
/* Like nb_plan_target, for a target that the converter makes itself. The files must not have a tensor of this name. */
uint32_t nb_plan_generate(nb_plan *plan, nb_text name, nb_arrangement arrangement);
/* Adds a vector of numbers, of which the plan takes ownership. */
int32_t nb_plan_numbers(nb_plan *plan, nb_text name, float *numbers, uint32_t n);
/* Makes the tensor of the files a source of the target. Each role has one source; if sources are stacked it has one
 * for each row, else row is NB_NONE. A target that the converter makes itself has no sources. */
int32_t nb_plan_assign(nb_plan *plan, uint32_t source, uint32_t target, nb_role role, uint32_t row);
/* Gives the target the type and shape of the source. */
void nb_plan_copy_shape(nb_plan *plan, uint32_t source, uint32_t target);

/* The target's source in this role, or NB_NONE. */
uint32_t nb_plan_source(const nb_plan *plan, uint32_t target, nb_role role);

/* Plans a GGUF, split or not: every tensor stays as it is. */
int32_t nb_plan_gguf(nb_plan *plan);

/* Gives floating-point matrices the types of the recipe (recipe.c). */
void nb_plan_quantize(nb_plan *plan);
/* Gives one of them this type instead. Returns 0 if the target is not quantized at all. */
int32_t nb_plan_choose(nb_plan *plan, uint32_t target, uint32_t type, nb_error *err);
/* After all types are chosen: refuses what is not allowed, and writes into the GGUF how it was quantized. */
int32_t nb_plan_settle_types(nb_plan *plan, nb_error *err);

/* After all targets are added: sorts them into the order of writing. */
int32_t nb_plan_order(nb_plan *plan, nb_error *err);

/* After all types are known: sets the offsets of the targets in the GGUF. */
int32_t nb_plan_place(nb_plan *plan, nb_error *err);

/* The GGUF's bytes before the first tensor. */
int32_t nb_plan_header(const nb_plan *plan, uint8_t **bytes, size_t *size, nb_error *err);

#endif
