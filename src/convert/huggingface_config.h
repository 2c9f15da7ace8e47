/* config.json of a Hugging Face folder, under GGUF's keys. */
#ifndef NB_HUGGINGFACE_CONFIG_H
#define NB_HUGGINGFACE_CONFIG_H

#include "huggingface_families.h"
#include "plan.h"

/* A folder that is being written down as GGUF. */
typedef struct nb_hf_model {
    nb_plan *plan;
    nb_composer *x;  /* the plan's */
    const nb_hf_family *family;
    nb_node config;  /* of the text model */
    bool tied;       /* its output matrix is the embedding */
    /* Told by config.json, and asked for at each tensor: a file may have many tensors and a long config.json. */
    uint32_t skipped_positions;  /* rows of learned positions that no token has */
    double embedding_columns;    /* of embeddings that are narrower than the rest */
    nb_error *err;
} nb_hf_model;

/* Writes the values of config.json. */
int32_t nb_hf_compose_config(const nb_hf_model *p);
int32_t nb_hf_compose_rope(const nb_hf_model *p); /* of these the rotation's (huggingface_rope.c) */

/* What config.json says to a row of the family's table, which is found by its first name; the class's default where
 * it says nothing; none where that is nothing either, where it says null, and where the family has no such row. */
nb_node nb_hf_value(const nb_hf_model *p, const char *name);
double nb_hf_number(const nb_hf_model *p, const char *name, double fallback);
bool nb_hf_has(const nb_hf_model *p, uint32_t flag);

/* What a number, string, true or false looks like in the file. */
nb_text nb_hf_literal(nb_node n);

/* Writes a value under "<architecture>.<suffix>", and all numbers of an object that a table has a suffix for. */
void nb_hf_put(const nb_hf_model *p, const char *suffix, double value);
void nb_hf_put_text(const nb_hf_model *p, const char *suffix, nb_text value);
int32_t nb_hf_put_numbers(const nb_hf_model *p, nb_node object, const nb_hf_key *keys);
/* A number that was written so. */
double nb_hf_told(const nb_hf_model *p, const char *suffix, double fallback);
double nb_hf_head_size(const nb_hf_model *p);
uint32_t nb_hf_skipped_positions(const nb_hf_model *p); /* to be the model's skipped_positions */

#endif
