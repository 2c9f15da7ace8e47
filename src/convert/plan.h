/* What a converter is going to write, known before the first weight arrives: the GGUF's values and tensors, and of which
 * tensors of the files each is made, and how. */
#ifndef NB_PLAN_H
#define NB_PLAN_H

#include "composer.h"
#include "../quant/quantize.h"

enum { NB_NONE = UINT32_MAX };

/* What a tensor of the files (a source) is to one of the GGUF (its target). */
typedef enum nb_role {
    NB_ROLE_CODES, /* or all there is */
    NB_ROLE_SCALES, NB_ROLE_ZEROS, NB_ROLE_ORDER,
    NB_ROLE_STATE /* its shape, and what else bitsandbytes says of it */,
    NB_ROLE_CODEBOOK, NB_ROLE_SCALE_CODEBOOK, NB_ROLE_SCALE_SCALES /* bitsandbytes' */
} nb_role;

typedef struct nb_origin { /* of a source */
    uint32_t target;       /* NB_NONE: nobody needs it */
    uint32_t role;
    uint32_t next;         /* source of the same target, or NB_NONE */
    uint32_t row;          /* NB_AS_STACKED: of the target */
    uint8_t *bytes;        /* owned; NULL unless it has to wait for others */
} nb_origin;

/* How a target's weights lie in its sources (arrangement.h). */
typedef enum nb_arrangement {
    NB_AS_ROWS,  /* one source, row by row */
    NB_AS_GPTQ, NB_AS_AWQ,
    NB_AS_PACKED, /* compressed-tensors' words of codes, along the rows */
    NB_AS_BYTES,  /* a code of eight bits a weight */
    NB_AS_BLOCKS, /* bitsandbytes' NF4 and FP4 */
    NB_AS_ORDER, /* the order of another target's columns */
    /* reshape.h: */
    NB_AS_TRANSPOSED, NB_AS_REGROUPED, NB_AS_STACKED,
    NB_AS_NUMBERS /* no source: numbers of config.json */
} nb_arrangement;

/* Who quantized a folder's weights. */
typedef enum nb_library { NB_BY_NOBODY, NB_BY_GPTQ, NB_BY_AWQ, NB_BY_BITSANDBYTES, NB_BY_COMPRESSED } nb_library;

typedef struct nb_quantization {
    nb_library library;
    uint32_t bits;        /* of a code: 2, 3, 4 or 8 */
    uint64_t group;       /* columns that a scale serves; 0: all of a row */
    bool symmetric;       /* every zero is half of what codes can say */
    bool ordered;         /* columns of a group lie anywhere */
    uint32_t zero_offset; /* zeros are stored less so much */
    bool by_tensors;      /* bits and group differ from module to module: a module's tensors say them */
} nb_quantization;

typedef struct nb_target {
    nb_arrangement arrangement;
    uint32_t source_type; /* of the weights in a source, where they are numbers and not codes */
    float shift;          /* of a vector: what is to be added */
    uint64_t skipped;     /* bytes at the source's beginning that are left out */
    uint32_t groups, group_heads; /* NB_AS_REGROUPED: and heads in each; 0: its rows need no regrouping */
    uint32_t first;       /* of its sources */
    uint32_t missing;     /* how many of them have not arrived */
    uint64_t columns;     /* as config.json says, where codes do not */
    nb_quantization quantization; /* its own: what the folder says, and its tensors */
    nb_quantize *quantize; /* what makes blocks of such weights; NULL: they stay what they are */
    uint32_t with;        /* the target that it is written behind, or NB_NONE */
    uint32_t *order;      /* owned: [columns], of the files' columns; NULL: as they are */
    float *numbers;       /* owned: NB_AS_NUMBERS */
} nb_target;

typedef struct nb_plan {
    nb_checkpoint in;    /* the files': tensors in their order; values where they are GGUF */
    nb_checkpoint out;   /* the GGUF's: tensors in the order in which they are written; values that in has not */
    nb_composer sources; /* composes in, if that is not GGUF */
    nb_composer composer; /* composes out */
    nb_origin *origins;  /* [in.n_tensors] */
    nb_target *targets;  /* [out.n_tensors] */
    uint64_t targets_capacity;
    uint32_t *index;     /* owned: [index_size], a power of two: targets by their names' hash, NB_NONE between */
    uint64_t index_size;
    uint64_t looked_up, steps; /* how many names were looked up in it, and past how many others that led */
    nb_quantization quantization; /* the folder's */
} nb_plan;

void nb_plan_free(nb_plan *plan);

/* in's tensors are known: their origins, without targets. */
int32_t nb_plan_begin(nb_plan *plan, nb_error *err);

/* The target of this name, new (without type and shape) if there is none; NB_NONE: plan->composer.code has failed. */
uint32_t nb_plan_target(nb_plan *plan, nb_text name);
/* A target that the converter makes itself, as nb_plan_target. It must be new: the files may hold no tensor of its name. */
uint32_t nb_plan_generate(nb_plan *plan, nb_text name, nb_arrangement arrangement);
/* A vector of numbers, which become the plan's to free. */
int32_t nb_plan_numbers(nb_plan *plan, nb_text name, float *numbers, uint32_t n);
/* A role has one source; or, where sources are stacked, one for each row. row: NB_NONE if they are not. A target that the
 * converter makes itself has none. */
int32_t nb_plan_assign(nb_plan *plan, uint32_t source, uint32_t target, nb_role role, uint32_t row);
/* The target gets the type and shape of the source. */
void nb_plan_take_shape(nb_plan *plan, uint32_t source, uint32_t target);

/* A target's source in a role; NB_NONE if there is none. */
uint32_t nb_plan_source(const nb_plan *plan, uint32_t target, nb_role role);

/* A split GGUF, or a whole one: every tensor as it is. */
int32_t nb_plan_gguf(nb_plan *plan);

/* Floating-point matrices become what the preset says. */
void nb_plan_quantize(nb_plan *plan, const nb_preset *preset);

/* All targets are there: puts them in order, and places them in the file. */
int32_t nb_plan_settle(nb_plan *plan, nb_error *err);

/* The GGUF's bytes up to the first tensor. */
int32_t nb_plan_header(const nb_plan *plan, uint8_t **bytes, size_t *size, nb_error *err);

#endif
