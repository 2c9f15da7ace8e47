/* The types of tensors against llama.cpp's choice (tests/oracles/preset_types.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/quant/quantize.h"
#include "../../src/types/traits.h"

static const char VECTORS[] = "tests/fixtures/formats/presets.bin";

enum { PRESET_LIMIT = 48, REFUSED = 255 };

static nb_text next_text(nb_cursor *in) {
    uint32_t size = nb_cursor_u32(in);
    return (nb_text){(const char *)nb_cursor_bytes(in, NB_ROUND_UP((uint64_t)size, 4u)), size};
}

static void test_type(nb_text preset_name, nb_text name, uint32_t dimensions, uint32_t columns, uint32_t want,
                      const nb_preset_facts *facts) {
    const nb_preset *preset = nb_preset_of(preset_name);
    if (!CHECK(preset, "no preset %t", preset_name))
        return;
    uint32_t type = nb_preset_type(preset, name, dimensions, columns, facts);
    if (type != NB_TYPE_LIMIT)
        type = nb_fitting_type(type, columns);
    want = want == NB_TYPE_F32 ? NB_TYPE_LIMIT : want;
    if (want != REFUSED)
        CHECK(type == want, "%t: %t of %u layers, %t, %u columns, importance %u: type %u, not %u", preset_name,
              facts->architecture, facts->layers, name, columns, facts->has_importance, type, want);
    CHECK(type == NB_TYPE_LIMIT ||
              (nb_preset_quantizer(preset, type) && columns % nb_traits_of(type)->block_weights == 0),
          "type %u of %u columns", type, columns);
}

/* A tensor of the file, and the types that llama.cpp chose for it. */
typedef struct tensor {
    nb_text name;
    uint32_t dimensions, columns;
    const uint8_t *types; /* [2][presets], without importance and with it */
} tensor;

enum { TENSOR_LIMIT = 256 };

/* llama.cpp refuses a preset without importance exactly if one of the tensors needs importance. */
static void test_need(nb_text preset_name, uint32_t number, const tensor *tensors, uint32_t n, uint32_t n_presets,
                      const nb_preset_facts *facts) {
    const nb_preset *preset = nb_preset_of(preset_name);
    if (!preset || tensors[0].types[n_presets + number] == REFUSED)
        return; /* llama.cpp cannot quantize rows of this length at all */
    bool needs = false;
    for (uint32_t i = 0; i < n; i++) {
        const tensor *t = &tensors[i];
        uint32_t type = nb_preset_type(preset, t->name, t->dimensions, t->columns, facts);
        needs |=
            type != NB_TYPE_LIMIT && nb_preset_needs_importance(preset, t->name, nb_fitting_type(type, t->columns));
    }
    bool refused = tensors[0].types[number] == REFUSED;
    CHECK(needs == refused, "%t, %t of %u layers: importance needed %u, refused without %u", preset_name,
          facts->architecture, facts->layers, needs, refused);
}

static void test_model(nb_cursor *in, const nb_text *names, uint32_t n_presets) {
    static tensor tensors[TENSOR_LIMIT];
    nb_preset_facts facts = {.architecture = next_text(in)};
    facts.layers = nb_cursor_u32(in);
    facts.heads = nb_cursor_u32(in);
    facts.kv_heads = nb_cursor_u32(in);
    facts.experts = nb_cursor_u32(in);
    facts.is_tied = nb_cursor_u32(in) != 0;
    uint32_t n = nb_cursor_u32(in);
    if (!CHECK(n > 0 && n <= TENSOR_LIMIT, "%u tensors", n))
        return;
    for (uint32_t i = 0; i < n; i++) {
        tensor *t = &tensors[i];
        t->name = next_text(in);
        t->dimensions = nb_cursor_u32(in);
        t->columns = nb_cursor_u32(in);
        t->types = nb_cursor_bytes(in, NB_ROUND_UP(2 * n_presets, 4u));
        facts.downs += nb_preset_is_down(t->name);
    }
    for (uint32_t p = 0; !in->is_short && p < n_presets; p++) {
        facts.has_importance = false;
        test_need(names[p], p, tensors, n, n_presets, &facts);
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t with = 0; with < 2; with++) {
                facts.has_importance = with;
                test_type(names[p], tensors[i].name, tensors[i].dimensions, tensors[i].columns,
                          tensors[i].types[with * n_presets + p], &facts);
            }
    }
}

/* bitsandbytes replaces the linear layers within layers, and no others. */
static void test_bitsandbytes(void) {
    nb_preset_facts facts = {.architecture = nb_text_of("llama"), .layers = 2, .heads = 4, .kv_heads = 4};
    static const struct {
        const char *name;
        uint32_t dimensions, columns;
        bool is_linear;
    } tensors[] = {
        {"blk.0.attn_q.weight", 2, 64, true},      {"blk.1.ffn_down.weight", 2, 192, true},
        {"blk.1.ffn_up_exps.weight", 3, 64, true}, {"blk.1.ffn_gate_inp.weight", 2, 64, false},
        {"blk.0.attn_norm.weight", 1, 64, false},  {"blk.0.attn_q_norm.weight", 2, 64, false},
        {"blk.0.attn_q.bias", 1, 64, false},       {"blk.0.attn_q.weight", 2, 96, true},
        {"token_embd.weight", 2, 64, false},       {"output.weight", 2, 64, false},
    };
    static const struct {
        const char *name;
        uint32_t type;
    } presets[] = {{"nf4", NB_TYPE_NF4}, {"fp4", NB_TYPE_FP4}, {"int8", NB_TYPE_Q8_0}};
    for (size_t p = 0; p < 3; p++)
        for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
            const nb_preset *preset = nb_preset_of(nb_text_of(presets[p].name));
            bool has_blocks = tensors[i].columns % 64 == 0 || presets[p].type == NB_TYPE_Q8_0; /* blocks of 32 */
            uint32_t want = tensors[i].is_linear && has_blocks ? presets[p].type : NB_TYPE_LIMIT;
            uint32_t type =
                nb_preset_type(preset, nb_text_of(tensors[i].name), tensors[i].dimensions, tensors[i].columns, &facts);
            CHECK(type == want, "%s, %s: %u, not %u", presets[p].name, tensors[i].name, type, want);
        }
    CHECK(nb_preset_quantizer(nb_preset_of(nb_text_of("int8")), NB_TYPE_Q8_0) == nb_quantize_int8, "int8");
    CHECK(nb_preset_quantizer(nb_preset_of(nb_text_of("q8_0")), NB_TYPE_Q8_0) != nb_quantize_int8, "q8_0");
    CHECK(!nb_preset_of(nb_text_of("q4_k_x")) && !nb_preset_of(nb_text_of("")), "unknown presets");
}

void test_presets(void) {
    test_bitsandbytes();
    size_t size;
    uint8_t *data = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(data, size, 0);
    nb_text names[PRESET_LIMIT];
    uint32_t n_presets = nb_cursor_u32(&in);
    if (CHECK(n_presets > 0 && n_presets <= PRESET_LIMIT, "%u presets", n_presets)) {
        for (uint32_t i = 0; i < n_presets; i++)
            names[i] = next_text(&in);
        for (uint32_t models = nb_cursor_u32(&in); models && !in.is_short; models--)
            test_model(&in, names, n_presets);
        CHECK(!in.is_short && in.at == in.size, "%s has another length", VECTORS);
    }
    nb_free(data);
}
