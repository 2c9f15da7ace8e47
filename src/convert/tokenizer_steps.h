/* The steps of a tokenizer.json: normalizers, pre-tokenizers, decoders. They are recognized by their content, never by
 * the model's name. Internal to tokenizer_json.c. */
#ifndef NB_TOKENIZER_STEPS_H
#define NB_TOKENIZER_STEPS_H

#include "../text/vocabulary.h"
#include "tokenizer_class.h"

enum { NB_MOST_STEPS = 12 };

/* All normalizers, pre-tokenizers or decoders: a single one, or those of a Sequence. */
typedef struct nb_steps {
    nb_node step[NB_MOST_STEPS];
    uint32_t n;
    bool too_many;
} nb_steps;

nb_steps nb_steps_of(nb_node tokenizer, const char *part, const char *list); /* list: the Sequence's member */
bool nb_step_is(nb_node step, const char *type);
/* NB_ERR_UNSUPPORTED with a message that names the steps. supported: what they may be, in words. */
int32_t nb_steps_refuse(nb_error *err, nb_vocabulary_kind kind, const char *part, const nb_steps *s,
                        const char *supported);

/* Writes values for what the normalizers, pre-tokenizers and decoders do. Refuses steps that nibble does not know. */
int32_t nb_steps_compose(nb_composer *x, nb_node tokenizer, nb_vocabulary_kind kind, const nb_tokenizer_class *class,
                         nb_error *err);

#endif
