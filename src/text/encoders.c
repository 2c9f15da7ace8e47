#include "encoders.h"

#include "bpe.h"
#include "spm.h"
#include "unigram.h"
#include "wordpiece.h"

int32_t nb_encode_segment(nb_encode_call *e, const uint8_t *text, size_t size, bool first) {
    switch (e->tokenizer->kind) {
    case NB_KIND_BPE: return nb_bpe_encode(e, text, size);
    case NB_KIND_SPM: return nb_spm_encode(e, text, size, first);
    case NB_KIND_UNIGRAM: return nb_unigram_encode(e, text, size, first);
    case NB_KIND_WORDPIECE: return nb_wordpiece_encode(e, text, size);
    }
    return NB_OK;
}
