/* What the kernels for packed types share (packing.h has the layout): unpacking codes and scales of a tile, and the
 * loops over rows and tokens. `type` is a constant wherever it is passed, so that each kernel is compiled for one type.
 * Included once for each instruction set. */
#include "matmul.h"
#include "../base/simd.h"

/* Constants that stay in registers. */
typedef struct constants {
    v128_t half, pair, bit; /* masks of parts of a code in each byte: four bits, two, one (packing.h) */
    v128_t word;            /* mask of a 16-bit lane's first column */
    v128_t sign, unit;      /* for binary16 */
    v128_t codebook, high;  /* codebook: its numbers plus zero; of a float codebook low and high bytes of the numbers */
} constants;

/* The numbers of NF4 and FP4, rounded to multiples of 1 / NB_NUMBER_UNITS: their low and their high bytes. */
#define UNITS(x) ((int)((x) * NB_NUMBER_UNITS + ((x) < 0 ? -0.5f : 0.5f)))
#define LOW(x) (uint8_t)(UNITS(x) & 255),
#define HIGH(x) (uint8_t)(UNITS(x) >> 8 & 255),
static const uint8_t number_bytes[2][2][16] = {
    {{NB_NF4_NUMBERS(LOW)}, {NB_NF4_NUMBERS(HIGH)}},
    {{NB_FP4_NUMBERS(LOW)}, {NB_FP4_NUMBERS(HIGH)}},
};

INLINE uint32_t bytes_of(uint32_t byte) {
    return byte * 0x01010101u;
}

/* type: the kernel's. own: the matrix's, whose codebook is used (nb_kernel_type). */
INLINE constants held_constants(const uint32_t type, uint32_t own) {
    const nb_layout l = nb_layout_of(type);
    const uint32_t bits = l.bits;
    v128_t codebook = {0}, high = {0};
    if (l.float_codebook) {
        codebook = wasm_v128_load(number_bytes[own == NB_TYPE_FP4][0]);
        high = wasm_v128_load(number_bytes[own == NB_TYPE_FP4][1]);
        nb_pin(codebook);
        nb_pin(high);
    }
    if (l.codebook) {
        codebook = wasm_i8x16_add(wasm_v128_load(l.by_value ? nb_codebook_of(own) : l.codebook),
                                  wasm_i8x16_splat((int8_t)l.zero));
        nb_pin(codebook); /* in a register, as nb_held_constant */
    }
    return (constants){
        .half = nb_held_constant(bytes_of(15)),
        .pair = nb_held_constant(bytes_of(3u << (bits & 4))),
        .bit = nb_held_constant(bytes_of(1u << (bits & 6))),
        .word = nb_held_constant(bits == 4 && !l.codebook && !l.float_codebook ? 0x000f000f : 0x00ff00ff),
        .sign = nb_held_constant(NB_F16_MASK),
        .unit = nb_held_constant(NB_F16_UNIT),
        .codebook = codebook,
        .high = high,
    };
}

/* Each byte's bits from bit `from` on, moved to bit `to`; the mask says how many. */
INLINE v128_t moved(v128_t v, const uint32_t from, const uint32_t to, v128_t mask) {
    if (from != to)
        v = from > to ? wasm_u16x8_shr(v, from - to) : wasm_i16x8_shl(v, to - from);
    return wasm_v128_and(v, mask);
}

/* out[n] = the codes of columns 16n + 4j ... 16n + 4j + 3 of four rows, n = 0, 1: as bytes, [4 rows][4 columns]. With a
 * codebook they are its numbers plus zero, which are unsigned, too. */
INLINE void codes_of(const uint32_t type, const uint8_t *codes, const uint32_t j, constants c, v128_t *out) {
    const uint32_t bits = nb_layout_of(type).bits;
    const uint8_t *pairs = codes + (bits & 1) * 16, *halves = pairs + (bits & 2) * 16;
    for (uint32_t n = 0; n < 2 && bits == 8; n++)
        out[n] = wasm_v128_load(codes + 16 * (2 * j + n));
    if (bits & 4) {
        v128_t both = wasm_v128_load(halves + 16 * j);
        out[0] = wasm_v128_and(both, c.half);
        out[1] = moved(both, 4, 0, c.half);
    }
    if (bits & 2) {
        v128_t four = wasm_v128_load(pairs + 16 * (j / 2));
        for (uint32_t n = 0; n < 2; n++) {
            v128_t pair = moved(four, 4 * (j % 2) + 2 * n, bits & 4, c.pair);
            out[n] = bits & 4 ? wasm_v128_or(out[n], pair) : pair;
        }
    }
    if (bits & 1) {
        v128_t eight = wasm_v128_load(codes);
        for (uint32_t n = 0; n < 2; n++) {
            v128_t bit = moved(eight, 2 * j + n, bits & 6, c.bit);
            out[n] = bits & 6 ? wasm_v128_or(out[n], bit) : bit;
        }
    }
    for (uint32_t n = 0; n < 2 && nb_layout_of(type).codebook; n++)
        out[n] = nb_lookup(c.codebook, out[n]);
}

/* w = ds[n] code + m[n] in columns 16n ... 16n+15 of a tile. Lanes are rows. If a scale serves 32 columns, n is 0. */
typedef struct scales {
    v128_t ds[2], m[2];
} scales;

INLINE bool has_offset(const uint32_t type) { /* is there an m? */
    return nb_layout_of(type).minimum || nb_layout_of(type).zero;
}

/* Loads d[4] and the negated m[4] of a head; for NF4 and FP4, d[4] / NB_NUMBER_UNITS. */
INLINE void load_head(const uint32_t type, const uint8_t *head, constants c, v128_t *d, v128_t *m) {
    if (nb_layout_of(type).float_d) {
        *d = wasm_v128_load(head);
        if (nb_layout_of(type).float_codebook)
            *d = wasm_f32x4_mul(*d, wasm_f32x4_splat(1.0f / NB_NUMBER_UNITS));
        return;
    }
    *d = nb_load_f16x4_with(head, c.sign, c.unit);
    if (nb_layout_of(type).minimum)
        *m = wasm_f32x4_neg(nb_load_f16x4_with(head + 8, c.sign, c.unit));
}

/* The scales of a tile. d, m: from load_head, if the type has a head. */
INLINE scales load_scales(const uint32_t type, const uint8_t *tile, v128_t d, v128_t m, constants c) {
    const nb_layout l = nb_layout_of(type);
    scales out = {0};
    if (!l.scales) {
        out.ds[0] = out.ds[1] = d;
    } else if (type == NB_TYPE_IQ4_XS) {
        v128_t s = wasm_i32x4_extend_low_i16x8(wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(tile)));
        out.ds[0] = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(s), d);
    } else if (type == NB_TYPE_NVFP4) { /* nb_half_e4m3_to_f32 */
        v128_t both = wasm_u16x8_load8x8(tile), unit = wasm_f32x4_splat(0x1p119f);
        out.ds[0] = wasm_f32x4_mul(wasm_i32x4_shl(wasm_u32x4_extend_low_u16x8(both), 20), unit);
        out.ds[1] = wasm_f32x4_mul(wasm_i32x4_shl(wasm_u32x4_extend_high_u16x8(both), 20), unit);
    } else if (l.tiles == 1) {
        out.ds[0] = l.float_d ? wasm_v128_load(tile) : nb_load_f16x4_with(tile, c.sign, c.unit);
        if (l.minimum)
            out.m[0] = nb_load_f16x4_with(tile + 8, c.sign, c.unit);
    } else if (type == NB_TYPE_Q2_K) {
        v128_t both = wasm_u16x8_load8x8(tile), s = wasm_v128_and(both, wasm_i16x8_splat(15)),
               z = wasm_u16x8_shr(both, 4);
        out.ds[0] = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_u32x4_extend_low_u16x8(s)), d);
        out.ds[1] = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_u32x4_extend_high_u16x8(s)), d);
        out.m[0] = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_u32x4_extend_low_u16x8(z)), m);
        out.m[1] = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_u32x4_extend_high_u16x8(z)), m);
    } else {
        v128_t both = l.minimum ? wasm_u16x8_load8x8(tile) : wasm_i16x8_load8x8(tile);
        v128_t first = wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(both));
        v128_t second = wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(both));
        out.ds[0] = wasm_f32x4_mul(first, d);
        if (l.minimum)
            out.m[0] = wasm_f32x4_mul(second, m);
        else
            out.ds[1] = wasm_f32x4_mul(second, d);
    }
    if (l.zero) /* d s (code - zero) */
        for (uint32_t n = 0; n < 32 / l.columns; n++)
            out.m[n] = wasm_f32x4_mul(out.ds[n], wasm_f32x4_splat((float)-l.zero));
    return out;
}

/* out + w x over part n of a tile's columns. A tile has one part, or two of sixteen columns (parts). Lanes are rows.
 * sum: of the products of codes and activations, in 32 bits. ds, m: of `scales`. x: a block (activations.h). */
INLINE v128_t scaled(v128_t out, v128_t sum, v128_t ds, v128_t m, const uint8_t *x, const uint32_t parts,
                     const uint32_t n, const bool offset) {
    out = nb_madd(wasm_f32x4_convert_i32x4(sum), wasm_f32x4_mul(ds, wasm_v128_load32_splat(x)), out);
    if (offset) /* m times the sum of the activations: s, s0 or s1 */
        out = nb_madd(m, wasm_v128_load32_splat(x + 4 * (parts == 1 ? 1 : 2 + n)), out);
    return out;
}

/* ---- several tokens ------------------------------------------------------------------------------------------- */

/* Groups are unpacked once for all tokens, into the task's scratch: four at a time, one of each section. Then each
 * token is multiplied with all four, so that its activations are splatted once for four groups. (Four tokens with one
 * group after the other need as many loads, but of splats, which V8 makes of two instructions: that took 1.1 to 1.5
 * times as long.) Each 32 columns of a group become V vectors of codes and their scales. A vector of codes has, for
 * four rows, the columns of one 32-bit lane of activations:
 *
 *     v128_t codes[V]              V = 8: bytes, [4 rows][4]: columns 4c ... 4c+3
 *                                  V = 16: 16-bit words, [4 rows][2]: the columns in the order of Q16 (activations.h)
 *     v128_t scales[parts][2]      ds and m, [4 rows] each: of all columns (1 part), or of each sixteen (2 parts) */
INLINE uint32_t unpacked_bytes(const uint32_t V, const uint32_t parts) {
    return 16 * (V + 2 * parts);
}
_Static_assert(NB_SECTIONS * 16 * (16 + 2 * 2) <= 32 * NB_MATMUL_SCRATCH * sizeof(float), "groups fit the scratch");

/* Stores the codes of columns 4j ... 4j+3 of a tile, and of 4j+16 ... 4j+19, where codes[V] has them. */
typedef void (*codes_function)(const uint32_t type, const uint8_t *codes, const uint32_t j, constants c, uint8_t *to);

INLINE void store_bytes(const uint32_t type, const uint8_t *codes, const uint32_t j, constants c, uint8_t *to) {
    v128_t q[2];
    codes_of(type, codes, j, c, q);
    wasm_v128_store(to + 16 * j, q[0]);
    wasm_v128_store(to + 16 * (4 + j), q[1]);
}

/* A row of the i-th group of section s. If the last section is shorter, the matrix's last group takes that place, and its
 * result is not stored. */
INLINE uint32_t row_of_group(const nb_matrix *w, uint32_t s, uint32_t i) {
    return NB_MIN(nb_section_row(w, s, i), w->rows - 1);
}

/* Unpacks the group that has this row. */
INLINE void unpack_group(const nb_matmul_task *task, uint32_t row, uint8_t *to, const uint32_t type, const uint32_t V,
                         const codes_function store_codes) {
    const nb_layout l = nb_layout_of(type);
    const uint32_t parts = 32 / l.columns;
    const constants c = held_constants(type, task->w->type);
    const uint8_t *w = task->w->data + row / NB_GROUP * task->w->group_bytes;
    v128_t d = {0}, m = {0};
    for (uint32_t k = task->w->columns / (32 * l.tiles); k; k--) {
        if (nb_layout_head(l))
            load_head(type, w, c, &d, &m);
        w += nb_layout_head(l);
        NB_LOOP
        for (uint32_t b = l.tiles; b; b--, w += nb_layout_tile(l), to += unpacked_bytes(V, parts)) {
            for (uint32_t j = 0; j < 4; j++)
                store_codes(type, w + l.scales, j, c, to);
            scales s = load_scales(type, w, d, m, c);
            for (uint32_t n = 0; n < parts; n++) {
                wasm_v128_store(to + 16 * (V + 2 * n), s.ds[n]);
                wasm_v128_store(to + 16 * (V + 2 * n + 1), s.m[n]);
            }
        }
    }
}

/* *sum += the dot products of the codes at q (of four rows) and a lane of activations: a has it in all lanes, and of
 * halves b has the low ones. k: how many have been added since the part began; with k = 0, *sum begins anew. *other: a
 * second sum. fit: a constant of the kernel.
 *   matmul_relaxed.c: *other is a sum in 16 bits, which holds `fit` dot products before it must be widened
 *   matmul_dot.c: *other is the sum of the lower halves, and `fit` dot products make a part */
typedef void (*add_function)(v128_t *sum, v128_t *other, const uint32_t fit, const uint32_t k, const uint8_t *q,
                             v128_t a, v128_t b);

/* The bytes of a token's activations for 32 columns, without scales. */
INLINE uint32_t block_bytes_of(const nb_form form) {
    return form == NB_FORM_Q8 ? 32 : 64;
}

/* Stores the results of the i-th groups of the sections. */
INLINE void store_groups(const nb_matmul_task *task, uint32_t i, uint32_t t, const v128_t *out) {
    for (uint32_t s = 0; s < NB_SECTIONS; s++) {
        uint32_t row = nb_section_row(task->w, s, i);
        if (row < task->w->rows)
            NB_STORE_ROWS(task, t, row, out[s]);
    }
}

/* out[G] = G groups, unpacked, times token t. from: the section of the first. */
INLINE void multiply_unpacked(const nb_matmul_task *task, v128_t *out, const uint32_t from, const uint32_t G,
                              uint32_t t, const nb_form form, const uint32_t V, const uint32_t parts,
                              const uint32_t fit, const bool offset, const add_function add) {
    const uint32_t C = form == NB_FORM_Q16 ? 16 : 8; /* lanes of activations for 32 columns */
    const uint32_t part = C / parts;
    const size_t group = (size_t)task->w->columns / 32 * unpacked_bytes(V, parts);
    const uint8_t *w[NB_SECTIONS], *x = nb_activations_token(task->x, form, t);
    v128_t sums[NB_SECTIONS], others[NB_SECTIONS];
    for (uint32_t s = 0; s < G; s++) {
        w[s] = (const uint8_t *)task->scratch + (from + s) * group;
        out[s] = wasm_f32x4_splat(0);
    }
    NB_LOOP
    for (uint32_t k = task->w->columns / 32; k; k--, x += 16 + block_bytes_of(form)) {
        NB_UNROLL
        for (uint32_t c = 0; c < C; c++) {
            v128_t a = wasm_v128_load32_splat(x + 16 + 4 * c);
            v128_t b = form == NB_FORM_HALVES ? wasm_v128_load32_splat(x + 48 + 4 * c) : a;
            for (uint32_t s = 0; s < G; s++)
                add(&sums[s], &others[s], fit, c % part, w[s] + 16 * (c * V / C), a, b);
            if (c % part < part - 1)
                continue;
            const uint32_t n = c / part;
            for (uint32_t s = 0; s < G; s++) {
                const uint8_t *scales = w[s] + 16 * (V + 2 * n);
                out[s] =
                    scaled(out[s], sums[s], wasm_v128_load(scales), wasm_v128_load(scales + 16), x, parts, n, offset);
            }
        }
        for (uint32_t s = 0; s < G; s++)
            w[s] += unpacked_bytes(V, parts);
    }
}

/* The i-th groups of the sections times all tokens. two: each group has two sums of its own (*other of add_function), so
 * that the sums of all four do not fit the registers. offset: there is an m. Without it the sum of the activations must
 * not be used: it may be infinite where they are not, and zero times it is NaN. */
INLINE void multiply_tokens(const nb_matmul_task *task, uint32_t i, const nb_form form, const uint32_t V,
                            const uint32_t parts, const uint32_t fit, const bool two, const bool offset,
                            const add_function add) {
    v128_t out[NB_SECTIONS];
    NB_LOOP
    for (uint32_t t = 0; t < task->x->n; t++) {
        if (two) {
            multiply_unpacked(task, out, 0, NB_SECTIONS / 2, t, form, V, parts, fit, offset, add);
            multiply_unpacked(task, out + NB_SECTIONS / 2, NB_SECTIONS / 2, NB_SECTIONS / 2, t, form, V, parts, fit,
                              offset, add);
        } else {
            multiply_unpacked(task, out, 0, NB_SECTIONS, t, form, V, parts, fit, offset, add);
        }
        store_groups(task, i, t, out);
    }
}

enum { NB_UNPACK_FROM = 3 }; /* so many tokens; fewer are faster one by one */

/* Unpacks the group that has this row. */
typedef void (*unpack_function)(const nb_matmul_task *task, uint32_t row, uint8_t *to);
/* Multiplies the i-th groups of the sections, unpacked, with all tokens. */
typedef void (*tokens_function)(const nb_matmul_task *task, uint32_t i, const uint32_t type);
/* Multiplies the i-th groups of the sections with token t. */
typedef void (*token_function)(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type);

INLINE void run_tiles(const nb_matmul_task *task, const uint32_t type, const uint32_t V, const unpack_function unpack,
                      const tokens_function tokens, const token_function one_token) {
    const size_t group = (size_t)task->w->columns / 32 * unpacked_bytes(V, 32 / nb_layout_of(type).columns);
    for (uint32_t i = task->first; i < task->first + task->groups; i++) {
        if (task->x->n < NB_UNPACK_FROM) {
            for (uint32_t t = 0; t < task->x->n; t++)
                one_token(task, i, t, type);
            continue;
        }
        NB_LOOP
        for (uint32_t s = 0; s < NB_SECTIONS; s++) {
            unpack(task, row_of_group(task->w, s, i), (uint8_t *)task->scratch + s * group);
        }
        tokens(task, i, type);
    }
}

/* Unpacking, compiled once for each type. */
#define UNPACK(weight, TYPE, V, store_codes)                                                                       \
    static __attribute__((noinline)) void unpack_##weight(const nb_matmul_task *task, uint32_t row, uint8_t *to) { \
        unpack_group(task, row, to, NB_TYPE_##TYPE, V, store_codes);                                               \
    }

#define KERNEL(weight, TYPE, form, isa, V, tokens, one_token)                   \
    void nb_matmul_##weight##_##form##__##isa(const nb_matmul_task *task) {     \
        run_tiles(task, NB_TYPE_##TYPE, V, unpack_##weight, tokens, one_token); \
    }

/* ---- one token ------------------------------------------------------------------------------------------------ */

/* The i-th groups of the four sections. */
INLINE void find_groups(const nb_matrix *w, uint32_t i, const uint8_t **groups) {
    for (uint32_t s = 0; s < NB_SECTIONS; s++)
        groups[s] = w->data + row_of_group(w, s, i) / NB_GROUP * w->group_bytes;
}

/* sums[s][n] = the sum of the products of codes and activations, for the tile at w[s] and the token's block at x: of
 * all columns (n = 0), or of each sixteen (n = 0, 1). Lanes are rows. */
typedef void (*tiles_function)(const uint32_t type, v128_t sums[][2], const uint8_t *const *w, const uint8_t *x,
                               constants c);

/* The i-th group of each section times the token. Activations are splatted once for four tiles. */
INLINE void multiply_token(const nb_matmul_task *task, uint32_t i, uint32_t t, const uint32_t type, const nb_form form,
                           const tiles_function multiply_tiles) {
    const nb_layout l = nb_layout_of(type);
    const uint32_t parts = 32 / l.columns;
    const constants c = held_constants(type, task->w->type);
    const uint8_t *w[NB_SECTIONS], *x = nb_activations_token(task->x, form, t);
    v128_t out[NB_SECTIONS], d[NB_SECTIONS], m[NB_SECTIONS];
    find_groups(task->w, i, w);
    for (uint32_t s = 0; s < NB_SECTIONS; s++)
        out[s] = d[s] = m[s] = wasm_f32x4_splat(0);
    for (uint32_t k = task->x->columns / (32 * l.tiles); k; k--) {
        for (uint32_t s = 0; s < NB_SECTIONS; s++) {
            if (nb_layout_head(l))
                load_head(type, w[s], c, &d[s], &m[s]);
            w[s] += nb_layout_head(l);
        }
        NB_LOOP
        for (uint32_t b = l.tiles; b; b--, x += 16 + block_bytes_of(form)) {
            v128_t sums[NB_SECTIONS][2];
            multiply_tiles(type, sums, w, x, c);
            for (uint32_t s = 0; s < NB_SECTIONS; s++) {
                scales of = load_scales(type, w[s], d[s], m[s], c);
                for (uint32_t n = 0; n < parts; n++)
                    out[s] = scaled(out[s], sums[s][n], of.ds[n], of.m[n], x, parts, n, has_offset(type));
                w[s] += nb_layout_tile(l);
            }
        }
    }
    store_groups(task, i, t, out);
}
