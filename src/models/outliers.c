#include "outliers.h"

#include "../base/numbers.h"
#include "../types/traits.h"
#include "family.h"

bool nb_outliers_name(nb_text name) {
    return nb_text_ends(name, ".outliers") || nb_text_ends(name, ".outlier_columns");
}

int32_t nb_outliers_reserve(nb_model *model, nb_error *err) {
    const nb_checkpoint *c = &model->checkpoint;
    uint64_t most = 0, held = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++)
        most += nb_outliers_name(nb_checkpoint_tensor_name(c, &c->tensors[i]));
    return most ? nb_grow((void **)&model->outliers, &held, most, sizeof *model->outliers, "outliers", err) : NB_OK;
}

int32_t nb_outliers_bind(nb_model *model, const nb_slot *slot, nb_matrix *of, const nb_tensor_info *info, int64_t layer,
                         nb_destination *to, nb_error *err) {
    bool is_list = info->type == NB_TYPE_I32;
    uint64_t n = info->shape[0], rows = is_list ? 1 : nb_extent_of(&model->shape, slot->rows);
    uint32_t columns = nb_extent_of(&model->shape, slot->columns);
    nb_text name = nb_checkpoint_tensor_name(&model->checkpoint, info);
    if (layer < 0 || slot->by_expert)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t has columns in 16 bits, which only matrices of layers can have, and experts cannot",
                       name);
    if (nb_text_ends(name, "_columns") != is_list || (!is_list && info->type != NB_TYPE_F16) || !n || n > columns ||
        info->shape[1] != rows || info->shape[2] != 1 || info->shape[3] != 1)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t has shape [%l, %l, %l, %l] and type %s; .outliers are F16 [n, rows] and "
                       ".outlier_columns I32 [n], for n of %u columns at most; the file is broken",
                       name, info->shape[0], info->shape[1], info->shape[2], info->shape[3],
                       nb_traits_of(info->type)->name, columns);
    if (!of->outliers)
        of->outliers = &model->outliers[model->n_outliers++];
    nb_matrix *outliers = &model->outliers[of->outliers - model->outliers];
    if (outliers->columns && outliers->columns != n)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t is of %l columns, but the other one of .outliers and .outlier_columns is of %u; the "
                       "file is broken",
                       name, n, outliers->columns);
    outliers->columns = (uint32_t)n;
    if (is_list) {
        to->order = &outliers->order;
        to->order_limit = columns;
        to->ascends = true;
        model->ordered = true;
    } else {
        to->matrix = outliers;
        to->rows = (uint32_t)rows;
        model->outlier_rows = NB_MAX(model->outlier_rows, (uint32_t)rows);
    }
    return NB_OK;
}

void nb_outliers_put_row(const nb_matrix *w, uint32_t row, float *scratch, float *out) {
    const nb_matrix *outliers = w->outliers;
    nb_matrix_row(outliers, w->first + row, scratch);
    for (uint32_t i = 0; i < outliers->columns; i++)
        out[outliers->order[i]] = w->n_scales ? scratch[i] * *w->scales : scratch[i];
}
