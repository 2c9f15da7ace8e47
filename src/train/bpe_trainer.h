/* The inside of a tokenizer's trainer (nibble_train.h). */
#ifndef NB_BPE_TRAINER_H
#define NB_BPE_TRAINER_H

#include "../nibble_train.h"
#include "../text/pretokenize.h"
#include "merges.h"

struct nb_bpe_trainer {
    const nb_pretokenizer *pre;
    nb_split_ascii splits[NB_MAX_SPLITS];
    nb_unicode *unicode;
    bool by_lines, has_begun;
    bool has_failed; /* some words of the rest have been counted */

    uint8_t *rest; /* [rest_size]: the end of the text so far, whose words are not counted yet */
    size_t rest_size, rest_capacity;
    size_t next_size; /* words are counted when rest_size reaches it */

    nb_strings words; /* the different words; `count`: how often each occurs */
    double bytes, total_words, broken;
    uint32_t distinct, vocabulary; /* vocabulary: 0 before training, and after a failure */
    nb_merges merges;
};

#endif
