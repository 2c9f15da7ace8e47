/* What a converter is going to write: the GGUF's values and tensors, and for each tensor from which tensors of the
 * files it is made, and how. All of it is known before the first weight arrives. */
#ifndef NB_PLAN_H
#define NB_PLAN_H

#include "../nibble_convert.h"
#include "composer.h"
#include "../quant/imatrix.h"
#include "../quant/quantize.h"

enum { NB_NONE = UINT32_MAX };

/* What a tensor of the files (a source) is to one of the GGUF (its target). */
typedef enum nb_role {
    NB_ROLE_CODES, /* or the only source */
    NB_ROLE_SCALES,
    NB_ROLE_ZEROS,
    NB_ROLE_ORDER,
    NB_ROLE_STATE /* its shape, and what else bitsandbytes says of it */,
    NB_ROLE_CODEBOOK,
    NB_ROLE_SCALE_CODEBOOK,
    NB_ROLE_SCALE_SCALES /* bitsandbytes' */
} nb_role;

/* What becomes of a source. */
typedef struct nb_origin {
    uint32_t target; /* NB_NONE: it is not needed */
    uint32_t role;
    uint32_t next;  /* a further source of the target, or NB_NONE */
    uint32_t row;   /* NB_AS_STACKED: of the target, it becomes this row, or this matrix */
    uint8_t *bytes; /* owned: what has arrived, if it has to wait for others; else NULL */
} nb_origin;

/* How a target's weights lie in its sources (arrangement.h). */
typedef enum nb_arrangement {
    NB_AS_ROWS, /* one source, row by row */
    NB_AS_GPTQ,
    NB_AS_AWQ,
    NB_AS_PACKED, /* compressed-tensors' words of codes, along the rows */
    NB_AS_BYTES,  /* a code of eight bits a weight */
    NB_AS_BLOCKS, /* bitsandbytes' NF4 and FP4 */
    NB_AS_ORDER,  /* the order of another target's columns */
    /* reshape.h: */
    NB_AS_TRANSPOSED,
    NB_AS_REGROUPED,
    NB_AS_TURNED,
    NB_AS_STACKED,
    NB_AS_NUMBERS /* no source: numbers of config.json */
} nb_arrangement;

/* Which library quantized a folder's weights. */
typedef enum nb_library { NB_BY_NOBODY, NB_BY_GPTQ, NB_BY_AWQ, NB_BY_BITSANDBYTES, NB_BY_COMPRESSED } nb_library;

typedef struct nb_quantization {
    nb_library library;
    uint32_t bits;        /* bits of a code: 2, 3, 4 or 8 */
    uint64_t group;       /* columns that share a scale; 0: the whole row */
    bool symmetric;       /* every zero point is the middle of the codes' range */
    bool ordered;         /* the columns of a group lie anywhere */
    uint32_t zero_offset; /* so much is subtracted from zero points before they are stored */
    bool by_tensors;      /* bits and group differ from module to module: its tensors tell them */
    bool has_inputs;      /* it says how inputs are rounded, too, which nibble does not do */
} nb_quantization;

typedef struct nb_target {
    nb_arrangement arrangement;
    uint32_t source_type;         /* type of the weights in a source; of codes, the type that they become */
    float shift;                  /* of a vector: this is added to it */
    uint64_t skipped;             /* bytes at the source's beginning that are left out */
    uint32_t groups, group_heads; /* NB_AS_REGROUPED: groups, and heads in each; 0: nothing to regroup */
    uint32_t turned;              /* rows of a head, if they change places (reshape.h); else 0 */
    uint32_t first;               /* its first source */
    uint32_t missing;             /* how many of its sources have not arrived */
    uint64_t columns;             /* as config.json says; needed if codes do not tell it */
    nb_quantization quantization; /* its own: what the folder and its tensors say */
    nb_quantize *quantize;        /* makes the target's blocks; NULL: weights keep their type */
    const float *importance;      /* [matrices, columns], in the plan's imatrix; or NULL */
    uint32_t wanted_type;         /* what it should become; its rows may not be whole blocks of that */
    uint32_t with;                /* the target behind which it is written, or NB_NONE */
    uint32_t how;                 /* NB_TENSOR_...: what the GGUF has of it */
    uint32_t *order;              /* owned: [columns], the order of the files' columns; NULL: unchanged */
    float *numbers;               /* owned: NB_AS_NUMBERS */
    uint32_t *rows;               /* owned: [n_rows], those that the GGUF has (nb_converter_pick); NULL: all */
    uint32_t n_rows;
} nb_target;

/* Whether its numbers keep their values, but not their places (reshape.h). */
static inline bool nb_is_reshaped(const nb_target *t) {
    return t->arrangement >= NB_AS_TRANSPOSED;
}

/* Which of the files' rows becomes this row of the target. */
static inline uint64_t nb_row_in_files(const nb_target *t, uint64_t row) {
    uint64_t i = t->turned ? row % t->turned : 0;
    return t->turned ? row - i + i % 2 * (t->turned / 2) + i / 2 : row;
}

/* How weights are quantized. */
typedef struct nb_recipe {
    const nb_preset *preset;            /* NULL: weights keep their types */
    bool doubly, best, for_file, again; /* NB_QUANTIZE_... */
    uint32_t part, parts; /* this converter's share of the rows (nb_converter_share); parts = 0: all rows */
    nb_imatrix *imatrix;  /* owned; NULL: all columns count alike */
} nb_recipe;

/* Whether the converter makes it, and no file has it. */
static inline bool nb_is_generated(const nb_target *t) {
    return t->arrangement == NB_AS_ORDER || t->arrangement == NB_AS_NUMBERS;
}

typedef struct nb_plan {
    nb_recipe recipe;
    nb_checkpoint in;     /* the files: their tensors in order; values only if they are GGUF */
    nb_checkpoint out;    /* the GGUF: its tensors in the order of writing; values that `in` lacks */
    nb_composer sources;  /* composes `in`, if that is not GGUF */
    nb_composer composer; /* composes `out` */
    nb_origin *origins;   /* [in.n_tensors] */
    nb_target *targets;   /* [out.n_tensors] */
    uint64_t targets_capacity;
    uint32_t *index; /* owned: [index_size], a power of two: targets by the hash of their name; NB_NONE: free */
    uint64_t index_size;
    uint64_t looked_up, steps;    /* how many names were looked up, and how many other names were passed */
    nb_quantization quantization; /* of the folder */
    bool is_partial;              /* not all targets are made */
} nb_plan;

void nb_plan_free(nb_plan *plan);

/* Gives each tensor of `in` an origin without a target. */
int32_t nb_plan_begin(nb_plan *plan, nb_error *err);

/* The target of this name. If there is none, a new one, without type and shape. NB_NONE: plan->composer.code has
 * failed. */
uint32_t nb_plan_target(nb_plan *plan, nb_text name);
/* Like nb_plan_target, for a target that the converter makes itself. The files must hold no tensor of this name. */
uint32_t nb_plan_generate(nb_plan *plan, nb_text name, nb_arrangement arrangement);
/* Adds a vector of numbers, which the plan will free. */
int32_t nb_plan_numbers(nb_plan *plan, nb_text name, float *numbers, uint32_t n);
/* Gives the source a role in the target. A role has one source, or one for each row if sources are stacked; row is
 * NB_NONE if they are not. A target that the converter makes itself has no sources. */
int32_t nb_plan_assign(nb_plan *plan, uint32_t source, uint32_t target, nb_role role, uint32_t row);
/* Gives the target the type and shape of the source. */
void nb_plan_take_shape(nb_plan *plan, uint32_t source, uint32_t target);

/* The target's source in this role, or NB_NONE. */
uint32_t nb_plan_source(const nb_plan *plan, uint32_t target, nb_role role);

/* Plans a split or whole GGUF: every tensor stays as it is. */
int32_t nb_plan_gguf(nb_plan *plan);

/* Floating-point matrices get the types of the recipe (recipe.c). */
void nb_plan_quantize(nb_plan *plan);
/* One of them gets this type instead. Returns 0 if the target is not quantized at all. */
int32_t nb_plan_choose(nb_plan *plan, uint32_t target, uint32_t type, nb_error *err);
/* When all types are chosen: refuses what must not be, and says in the GGUF what was done. */
int32_t nb_plan_settle_types(nb_plan *plan, nb_error *err);

/* Once all targets are there: puts them in the order of writing. */
int32_t nb_plan_order(nb_plan *plan, nb_error *err);

/* Once all types are known: places the targets that the GGUF has in the file. */
int32_t nb_plan_place(nb_plan *plan, nb_error *err);

/* The GGUF's bytes before the first tensor. */
int32_t nb_plan_header(const nb_plan *plan, uint8_t **bytes, size_t *size, nb_error *err);

#endif
