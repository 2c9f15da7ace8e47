#include "linear.h"

void nb_linear_forward(const nb_pass *pass, const nb_linear *l, const float *x, float *out, bool adds) {
    const float *rounded = nb_input_round(pass, &l->input, x, l->columns, true);
    nb_product p = {
        .a = nb_factor_of(rounded, l->columns),
        .b = nb_factor_of(l->weights, l->columns),
        .out = out,
        .stride = l->rows,
        .m = pass->n,
        .n = l->rows,
        .k = l->columns,
        .adds = adds,
    };
    nb_product_run(pass->pool, &p, pass->products);
}

void nb_linear_backward(const nb_pass *pass, const nb_linear *l, const float *x, const float *d_out, float *d_x,
                        bool adds) {
    bool rounds = nb_inputs_are_rounded(pass, &l->input);
    d_out = nb_gradient_round(pass, &l->input, d_out, l->rows);
    nb_product of_x = {
        .a = nb_factor_of(d_out, l->rows),
        .b = nb_factor_transposed(l->weights, l->columns),
        .out = rounds ? pass->signals->d_rounded : d_x,
        .stride = l->columns,
        .m = pass->n,
        .n = l->columns,
        .k = l->rows,
        .adds = adds && !rounds,
    };
    nb_product_run(pass->pool, &of_x, pass->products);
    if (rounds)
        nb_input_back(pass, &l->input, x, l->columns, d_x, adds);
    if (!l->gradient)
        return;
    nb_product of_weights = {
        .a = nb_factor_transposed(d_out, l->rows),
        .b = nb_factor_transposed(nb_input_round(pass, &l->input, x, l->columns, false), l->columns),
        .out = l->gradient,
        .stride = l->columns,
        .m = l->rows,
        .n = l->columns,
        .k = pass->n,
        .adds = true,
    };
    nb_product_run(pass->pool, &of_weights, pass->products);
}
