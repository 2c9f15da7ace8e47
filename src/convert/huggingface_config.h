/* Translates config.json of a Hugging Face folder into GGUF's keys. */
#ifndef NB_HUGGINGFACE_CONFIG_H
#define NB_HUGGINGFACE_CONFIG_H

#include "huggingface_families.h"
#include "plan.h"

/* A folder that is being converted to GGUF. */
typedef struct nb_hf_model {
    nb_plan *plan;
    nb_composer *composer; /* the plan's */
    const nb_hf_family *family;
    nb_node config; /* of the text model */
    bool tied;      /* its output matrix is the embedding */
    bool has_head;  /* it is a reranker, or classifies texts (models/embedding.h) */
    /* Values of config.json that each tensor needs. Reading them anew each time would take too long. */
    uint32_t skipped_positions; /* rows of learned positions that belong to no token */
    double embedding_columns;   /* of embeddings that are narrower than the layers; else 0 */
    nb_error *err;
} nb_hf_model;

/* Writes the values of config.json under GGUF's keys. */
int32_t nb_hf_compose_config(const nb_hf_model *p);
int32_t nb_hf_compose_rope(const nb_hf_model *p); /* those for RoPE (huggingface_rope.c) */

/* The value of a key of config.json, or the default of transformers' class. name: the first name in a row of the
 * family's table, or of nb_hf_everywhere. The node is empty if there is no such row, if config.json says null, or if
 * the key is missing and has no default. */
nb_node nb_hf_value(const nb_hf_model *p, const char *name);
double nb_hf_number(const nb_hf_model *p, const char *name, double fallback); /* fallback: for an empty node */
/* The default of transformers' class, whatever config.json says; 0: there is none. */
double nb_hf_default(const nb_hf_model *p, const char *name);
bool nb_hf_has(const nb_hf_model *p, uint32_t flag); /* NB_HF_..., of the family */

/* A number, a string, true or false, as the file spells it. */
nb_text nb_hf_literal(nb_node n);

/* Writes a value under the key "<architecture>.<suffix>". */
void nb_hf_put(const nb_hf_model *p, const char *suffix, double value);
void nb_hf_put_text(const nb_hf_model *p, const char *suffix, nb_text value);
/* For each row of `keys` that has suffixes: writes the object's number, or the row's default, under them. */
int32_t nb_hf_put_numbers(const nb_hf_model *p, nb_node object, const nb_hf_key *keys);
/* A number that nb_hf_put has written; fallback: it has not. */
double nb_hf_written_number(const nb_hf_model *p, const char *suffix, double fallback);
double nb_hf_head_size(const nb_hf_model *p);
uint32_t nb_hf_skipped_positions(const nb_hf_model *p); /* computes p->skipped_positions */

#endif
