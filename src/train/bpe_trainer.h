/* The inside of a tokenizer's trainer (nibble_train.h). */
#ifndef NB_BPE_TRAINER_H
#define NB_BPE_TRAINER_H

#include "../nibble_train.h"
#include "../text/pretokenize.h"
#include "merges.h"

struct nb_bpe_trainer {
    const nb_pretokenizer *pre;
    nb_pass_ascii passes[NB_MAX_PASSES];
    nb_unicode *unicode;
    bool by_lines, has_begun;
    bool has_failed; /* words were counted that are still in the rest */

    uint8_t *rest; /* [rest_size]: the end of the text so far, whose words may still change */
    size_t rest_size, rest_capacity;
    size_t wait; /* the rest is cut into words when it has so many bytes */

    nb_strings words; /* different ones; `count`: how many times each is in the text */
    double bytes, total_words, broken;
    uint32_t distinct, vocabulary; /* vocabulary: 0 before training, and after a failure */
    nb_merges merges;
};

#endif
