#include "quantize_search.h"
#include "quantize_lanes.h"

#pragma STDC FP_CONTRACT OFF

/* Four groups of n numbers, one after the other -> out[i]: number i of each group. */
static void load_groups(const float *x, int n, lanes *out) {
    for (int i = 0; i < n; i++)
        out[i] = (lanes){x[i], x[i + n], x[i + 2 * n], x[i + 3 * n]};
}

/* Stores code i of each group. */
static void store_codes(lanes code, int i, int n, uint8_t *codes) {
    for (int g = 0; g < NB_LANES; g++)
        codes[g * n + i] = (uint8_t)code[g];
}

float nb_largest_magnitude(const float *x, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = most > __builtin_fabsf(x[i]) ? most : __builtin_fabsf(x[i]);
    return most;
}

float nb_sum_of_squares(const float *x, size_t n) {
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

void nb_weigh(const float *x, const float *importance, float spread, float *weight, int n) {
    for (int i = 0; i < n; i++)
        weight[i] = (importance ? importance[i] : 1) * __builtin_sqrtf(spread + x[i] * x[i]);
}

/* ---- scale and minimum --------------------------------------------------------------------------------------- */

static lanes error_of(const nb_ranges *s, const lanes *x, const lanes *weight, const lanes *codes, lanes scale,
                      lanes low) {
    lanes sum = splat(0);
    for (int i = 0; i < s->group; i++) {
        lanes off = scale * codes[i] + low - x[i];
        sum += weight[i] * (s->absolute ? magnitude(off) : off * off);
    }
    return sum;
}

/* The codes of x; steps: 1 / scale. */
static lanes code_above(const nb_ranges *s, lanes x, lanes low, lanes steps) {
    return nearest_lanes(steps * (x - low), 0, s->most);
}

/* Each try starts from the best line so far. */
void nb_search_ranges(const nb_ranges *s, const float *x, const float *weights, float *scales, float *minima,
                      uint8_t *codes) {
    lanes v[NB_GROUP_LIMIT], weight[NB_GROUP_LIMIT], code[NB_GROUP_LIMIT];
    load_groups(x, s->group, v);
    load_groups(weights, s->group, weight);
    lanes low = v[0], high = v[0], sum_w = weight[0], sum_x = weight[0] * v[0];
    for (int i = 1; i < s->group; i++) {
        low = select_lanes(v[i] < low, v[i], low);
        high = select_lanes(v[i] > high, v[i], high);
        sum_w += weight[i];
        sum_x += weight[i] * v[i];
    }
    low = select_lanes(low > 0, splat(0), low);
    integers flat = high == low;
    lanes steps = splat((float)s->most) / (high - low), scale = 1 / steps;
    for (int i = 0; i < s->group; i++)
        code[i] = code_above(s, v[i], low, steps);
    lanes best = error_of(s, v, weight, code, scale, low), start = low; /* `low` of the best codes */
    for (int try = 0; try <= s->last; try++) {
        lanes tried = splat(s->first + s->step * (float)try + (float)s->most) / (high - low);
        lanes sum_q = splat(0), sum_qq = splat(0), sum_xq = splat(0);
        for (int i = 0; i < s->group; i++) {
            code[i] = code_above(s, v[i], low, tried);
            lanes wq = weight[i] * code[i];
            sum_q += wq;
            sum_qq += wq * code[i];
            sum_xq += wq * v[i];
        }
        /* weighted linear regression of x on q; `origin` must not be above 0 */
        lanes determinant = sum_w * sum_qq - sum_q * sum_q;
        lanes slope = (sum_w * sum_xq - sum_x * sum_q) / determinant;
        lanes origin = (sum_qq * sum_x - sum_q * sum_xq) / determinant;
        slope = select_lanes(origin > 0, sum_xq / sum_qq, slope);
        origin = select_lanes(origin > 0, splat(0), origin);
        lanes error = error_of(s, v, weight, code, slope, origin);
        integers better = (determinant > 0) & (error < best);
        best = select_lanes(better, error, best);
        scale = select_lanes(better, slope, scale);
        steps = select_lanes(better, tried, steps);
        start = select_lanes(better, low, start);
        low = select_lanes(better & ~flat, origin, low);
    }
    for (int i = 0; i < s->group; i++)
        store_codes(select_lanes(flat, splat(0), code_above(s, v[i], start, steps)), i, s->group, codes);
    scale = select_lanes(flat, splat(0), scale);
    low = -low;
    memcpy(scales, &scale, sizeof scale);
    memcpy(minima, &low, sizeof low);
}

/* ---- scale alone --------------------------------------------------------------------------------------------- */

/* For codes q the scale sum w x q / sum w q^2 has the least error, sum w x^2 - (sum w x q)^2 / sum w q^2. So the best
 * codes have the largest (sum w x q)^2 / sum w q^2. */

/* Each group's weight with the largest magnitude (of several, the first), and that magnitude in *most. */
static lanes farthest_weights(const lanes *x, int n, lanes *most) {
    lanes found = splat(0);
    *most = splat(0);
    for (int i = 0; i < n; i++) {
        integers more = magnitude(x[i]) > *most;
        found = select_lanes(more, x[i], found);
        *most = select_lanes(more, magnitude(x[i]), *most);
    }
    return found;
}

/* Tries the scales that map the weight with the largest magnitude to -(most - 0.9), ... -(most + 0.9), in steps of
 * 0.1. */
void nb_search_scales(int n, int most, const float *x, const float *weights, float *scales, uint8_t *codes) {
    lanes v[NB_GROUP_LIMIT], weight[NB_GROUP_LIMIT], size;
    load_groups(x, n, v);
    load_groups(weights, n, weight);
    lanes far = farthest_weights(v, n, &size), best = splat(0), scale = splat(0), steps = splat((float)-most) / far;
    for (int try = 0; try <= 18; try++) {
        float offset = 0.1f * (float)(try == 0 ? 0 : try <= 9 ? try - 10 : try - 9); /* 0 first, then ascending */
        lanes tried = splat(-((float)most + offset)) / far, xq = splat(0), qq = splat(0);
        for (int i = 0; i < n; i++) {
            lanes q = nearest_lanes(tried * v[i], -most, most - 1), w = weight[i];
            xq += w * v[i] * q;
            qq += w * q * q;
        }
        integers better = try == 0 ? qq != 0 : (qq > 0) & (xq * xq > best * qq);
        scale = select_lanes(better, xq / qq, scale);
        best = select_lanes(better, scale * xq, best);
        steps = select_lanes(better, tried, steps);
    }
    integers is_zero = size < NB_ALMOST_ZERO;
    for (int i = 0; i < n; i++)
        store_codes(select_lanes(is_zero, splat(0), nearest_lanes(steps * v[i], -most, most - 1) + (float)most), i, n,
                    codes);
    scale = select_lanes(is_zero, splat(0), scale);
    memcpy(scales, &scale, sizeof scale);
}

/* In five rounds, each code is changed to the one that fits best while the others stay. (llama.cpp stops after a round
 * without changes; the result is the same.) */
void nb_refine_scales(int n, int most, const float *x, const float *weights, float *scales, uint8_t *codes) {
    lanes v[NB_GROUP_LIMIT], weight[NB_GROUP_LIMIT], q[NB_GROUP_LIMIT], size, xq = splat(0), qq = splat(0);
    load_groups(x, n, v);
    load_groups(weights, n, weight);
    lanes far = farthest_weights(v, n, &size);
    for (int i = 0; i < n; i++) {
        q[i] = nearest_lanes(splat((float)-most) / far * v[i], -most, most - 1);
        xq += weight[i] * v[i] * q[i];
        qq += weight[i] * q[i] * q[i];
    }
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < n; i++) {
            lanes w = weight[i], rest_xq = xq - w * v[i] * q[i], rest_qq = qq - w * q[i] * q[i];
            lanes other = nearest_lanes(v[i] * rest_qq / rest_xq, -most, most - 1);
            integers open = (rest_xq > 0) & (other != q[i]);
            rest_xq += w * v[i] * other;
            rest_qq += w * other * other;
            integers better = open & (rest_qq > 0) & (rest_xq * rest_xq * qq > xq * xq * rest_qq);
            q[i] = select_lanes(better, other, q[i]);
            xq = select_lanes(better, rest_xq, xq);
            qq = select_lanes(better, rest_qq, qq);
        }
    integers is_zero = size < NB_ALMOST_ZERO;
    for (int i = 0; i < n; i++)
        store_codes(select_lanes(is_zero, splat(0), q[i] + (float)most), i, n, codes);
    lanes scale = select_lanes((qq > 0) & ~is_zero, xq / qq, splat(0));
    memcpy(scales, &scale, sizeof scale);
}

/* ---- codes of one sign --------------------------------------------------------------------------------------- */

/* llama.cpp's search keeps codes in bytes, where negative codes wrap around (-1 becomes 255). So does this one. */
typedef struct steps {
    int n, most;
    const float *x, *weight;
    uint8_t *codes;
} steps;

/* 1 / scale. Tries scales that map the largest number to `most`, or up to 0.4 more or less. */
static float search_reciprocal(const steps *s, float largest) {
    float found = (float)s->most / largest, scale = 1 / found, best = 0;
    for (int i = 0; i < s->n; i++) {
        float off = s->x[i] - scale * (float)(uint8_t)nb_nearest(found * s->x[i], INT32_MIN, INT32_MAX);
        best += s->weight[i] * off * off;
    }
    for (int try = -4; try <= 4; try++) {
        float tried = (0.1f * (float)try + (float)s->most) / largest, error = 0;
        scale = 1 / tried;
        for (int i = 0; i < s->n && try != 0; i++) {
            float off = s->x[i] - scale * (float)nb_nearest(tried * s->x[i], INT32_MIN, s->most);
            error += s->weight[i] * off * off;
        }
        if (try != 0 && error < best) {
            best = error;
            found = tried;
        }
    }
    return found;
}

/* Changes each code to the one that fits best while the others stay. False: none changed. */
static bool refine_steps(const steps *s, float *xq, float *qq) {
    bool changed = false;
    for (int i = 0; i < s->n; i++) {
        float w = s->weight[i], x = s->x[i], q = s->codes[i];
        float rest_xq = *xq - w * x * q, rest_qq = *qq - w * q * q;
        if (!(rest_xq > 0 && rest_qq > 0))
            continue;
        int32_t other = nb_nearest(x * rest_qq / rest_xq, INT32_MIN, s->most);
        rest_xq += w * x * (float)other;
        rest_qq += w * (float)other * (float)other;
        if (other != s->codes[i] && rest_xq * rest_xq * *qq > *xq * *xq * rest_qq) {
            s->codes[i] = (uint8_t)other;
            *xq = rest_xq;
            *qq = rest_qq;
            changed = true;
        }
    }
    return changed;
}

float nb_search_steps(int n, int most, const float *x, const float *weight, uint8_t *codes) {
    steps s = {n, most, x, weight, codes};
    float largest = 0, xq = 0, qq = 0;
    memset(codes, 0, (size_t)n);
    for (int i = 0; i < n; i++)
        largest = NB_MAX(largest, x[i]);
    if (largest < NB_ALMOST_ZERO)
        return 0;
    float reciprocal = search_reciprocal(&s, largest);
    for (int i = 0; i < n; i++) {
        int32_t q = nb_nearest(reciprocal * x[i], INT32_MIN, most);
        codes[i] = (uint8_t)q;
        xq += weight[i] * x[i] * (float)q;
        qq += weight[i] * (float)q * (float)q;
    }
    for (int round = 0; round < 5 && refine_steps(&s, &xq, &qq); round++)
        ;
    return qq > 0 ? xq / qq : 0;
}
