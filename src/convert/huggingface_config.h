/* config.json of a Hugging Face folder, under GGUF's keys. */
#ifndef NB_HUGGINGFACE_CONFIG_H
#define NB_HUGGINGFACE_CONFIG_H

#include "huggingface_families.h"
#include "plan.h"

/* A folder that is being written down as GGUF. */
typedef struct nb_hf_model {
    nb_plan *plan;
    nb_composer *x;           /* the plan's */
    const nb_hf_family *family;
    nb_node config, defaults; /* of the text model */
    nb_error *err;
} nb_hf_model;

/* Writes the values of config.json. */
int32_t nb_hf_compose_config(const nb_hf_model *p);

/* A number of config.json, by the first of several names ("a b") that is there and not null. */
double nb_hf_number(const nb_hf_model *p, const char *names, double fallback);
/* A number that was written under "<architecture>.<suffix>". */
double nb_hf_told(const nb_hf_model *p, const char *suffix, double fallback);
double nb_hf_head_size(const nb_hf_model *p);
/* Rows of learned positions that no token has. */
uint32_t nb_hf_skipped_positions(const nb_hf_model *p);
bool nb_hf_has(const nb_hf_model *p, uint32_t flag);

#endif
