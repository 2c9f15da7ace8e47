/* How likely a model finds a text. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../kernels/ops.h"
#include "family.h"
#include "session.h"

static int32_t check(const nb_session *s, const int32_t *tokens, int32_t n, int32_t done, int32_t from, nb_error *err) {
    if (s->model->shape.encoder || s->model->shape.bidirectional)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "this %s model is not causal: its tokens see those that follow, so it cannot tell how likely a "
                       "text is",
                       s->model->family->name);
    NB_TRY(nb_session_check_length(s, n, err));
    if (from < 1 || from > n)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%d tokens cannot be scored from token %d on; use 1 to %d", n, from, n);
    if (done < 0 || done >= n || (done && s->sequence->held != (uint32_t)done))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "done is %d of %d tokens, but must be what nb_session_score returned last",
                       done, n);
    return nb_session_check_tokens(s, tokens, 0, (uint32_t)n, err);
}

/* Scores tokens [from, to]. The logits for a token come from the row of the token before it; the residual stream's
 * first row is that of token `first`. */
static int32_t score_rows(nb_session *s, const int32_t *tokens, uint32_t first, uint32_t from, uint32_t to,
                          float *scores, nb_error *err) {
    uint32_t vocabulary = s->model->shape.vocabulary;
    for (uint32_t token = from; token <= to; token += s->logits_capacity) {
        uint32_t rows = NB_MIN(to + 1 - token, s->logits_capacity);
        NB_TRY(nb_session_compute_logits(s, token - 1 - first, rows, err));
        for (uint32_t i = 0; i < rows; i++) {
            const float *logits = s->logits + (size_t)i * vocabulary;
            scores[token + i] = (float)(nb_log_sum_exp(logits, vocabulary) - (double)logits[tokens[token + i]]);
        }
    }
    return NB_OK;
}

int32_t nb_session_score(nb_session *s, const int32_t *tokens, int32_t n, int32_t done, int32_t from, float *scores,
                         nb_error *err) {
    s->logits_rows = 0;
    NB_TRY(check(s, tokens, n, done, from, err));
    uint32_t first = (uint32_t)done, rows = NB_MIN((uint32_t)n - first, s->batch);
    nb_forbid_allocation(true);
    int32_t code = nb_session_evaluate(s, tokens, first, rows, err);
    if (code == NB_OK) /* the row of the last token predicts one past the end */
        code = score_rows(s, tokens, first, NB_MAX((uint32_t)from, first + 1), NB_MIN(first + rows, (uint32_t)n - 1),
                          scores, err);
    s->logits_rows = 0;
    if (code == NB_OK)
        s->scored_first = first, s->scored_rows = rows;
    nb_forbid_allocation(false);
    return code < 0 ? code : (int32_t)(first + rows);
}
