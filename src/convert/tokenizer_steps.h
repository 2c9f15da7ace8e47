/* The parts of a tokenizer.json that are steps, one after the other: normalizers, pre-tokenizers, decoders. Inside of
 * tokenizer_json.c. What they do is told by what they say, never by the model's name. */
#ifndef NB_TOKENIZER_STEPS_H
#define NB_TOKENIZER_STEPS_H

#include "tokenizer_class.h"

/* What the model makes of words; PIECES is SentencePiece's BPE, whose spaces are U+2581 and whose bytes are <0xHH>. */
typedef enum nb_tokenizer_form { NB_FORM_BYTES, NB_FORM_PIECES, NB_FORM_UNIGRAM, NB_FORM_WORDPIECE } nb_tokenizer_form;

enum { NB_MOST_STEPS = 12 };

/* A part of tokenizer.json: itself, or the steps of a Sequence of them. */
typedef struct nb_steps {
    nb_node step[NB_MOST_STEPS];
    uint32_t n;
    bool too_many;
} nb_steps;

nb_steps nb_steps_of(nb_node tokenizer, const char *part, const char *list); /* list: the Sequence's member */
bool nb_step_is(nb_node step, const char *type);
/* NB_ERR_UNSUPPORTED with a sentence that says what the part is; supported: what it may be, in words. */
int32_t nb_steps_refuse(nb_error *err, nb_tokenizer_form form, const char *part, const nb_steps *s,
                        const char *supported);

/* Writes what the normalizers and pre-tokenizers do as values of GGUF's, and sees that the decoders are usual. */
int32_t nb_steps_compose(nb_composer *x, nb_node tokenizer, nb_tokenizer_form form, const nb_tokenizer_class *class,
                         nb_error *err);

#endif
