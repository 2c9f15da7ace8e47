// Written by tools/abi.js from src/nibble.h, nibble_convert.h, nibble_quantize.h, nibble_train.h,
// nibble_grammar.h, types/types.h, text/vocabulary.h and quant/presets.c: do not edit it, run `make build`.

export const NB_OK = 0;
export const NB_LOAD_ALL = 0;
export const NB_LOAD_HEADER = 1;
export const NB_LOAD_PART = 2;
export const NB_TOKENIZE_BARE = 0;
export const NB_TOKENIZE_ADD_SPECIAL = 1;
export const NB_TOKENIZE_PARSE_SPECIAL = 2;
export const NB_DETOKENIZE_TEXT = 0;
export const NB_DETOKENIZE_SPECIAL = 1;
export const NB_DETOKENIZE_WHOLE = 2;
export const NB_MAX_SEQUENCES = 64;
export const NB_LOGITS_LAST = 0;
export const NB_LOGITS_ALL = 1;
export const NB_MAX_ADAPTERS = 16;
export const NB_SAVED_HEAD = 48;
export const NB_COMPARED_BASE = 0;
export const NB_COMPARED_OTHER = 1;
export const NB_COMPARED_DIVERGENCE = 2;
export const NB_COMPARED_SAME_TOP = 3;
export const NB_COMPARED_NUMBERS = 4;
export const NB_WEIGHT_BINS = 80;
export const NB_WEIGHT_RANGE = 4;
export const NB_IMATRIX_DAT = 0;
export const NB_IMATRIX_GGUF = 1;
export const NB_WALK_MEANS = 0;
export const NB_WALK_HESSIANS = 1;
export const NB_WALK_RANGES = 2;
export const NB_WALK_ALL = -1;
export const NB_RANGE_BYTES = 32808;
export const NB_PROBE_BASE = 0;
export const NB_PROBE_WHOLE = 1;
export const NB_PROBE_REST = 2;
export const NB_PROBE_NEXT = 3;
export const NB_STEP_TOP_SIGMAS = 1;
export const NB_STEP_TOP_K = 2;
export const NB_STEP_TYPICAL = 3;
export const NB_STEP_TOP_P = 4;
export const NB_STEP_MIN_P = 5;
export const NB_STEP_XTC = 6;
export const NB_STEP_TEMPERATURE = 7;
export const NB_MAX_GUESSES = 7;
export const NB_CONVERT_ALL = 0;
export const NB_CONVERT_HEADER = 1;
export const NB_QUANTIZE_PLAINLY = 0;
export const NB_QUANTIZE_DOUBLY = 1;
export const NB_QUANTIZE_BEST = 2;
export const NB_QUANTIZE_FILE = 4;
export const NB_QUANTIZE_AGAIN = 8;
export const NB_TENSOR_MADE = 0;
export const NB_TENSOR_BLANK = 1;
export const NB_TENSOR_ABSENT = 2;
export const NB_ORDER_NATURAL = 0;
export const NB_ORDER_ACTIVATION = 1;
export const NB_ORDER_STATIC = 2;
export const NB_ORDER_GROUP_AWARE = 3;
export const NB_ROWS_PLAINLY = 0;
export const NB_ROWS_BEST = 1;
export const NB_ROWS_NEAREST = 2;
export const NB_FORMAT_GPTQ = 0;
export const NB_FORMAT_GPTQ_V2 = 1;
export const NB_FORMAT_COMPRESSED = 2;
export const NB_FORMAT_AWQ = 3;
export const NB_FORMAT_INT8 = 4;
export const NB_PART_CODES = 0;
export const NB_PART_ZEROS = 1;
export const NB_PART_SCALES = 2;
export const NB_AWQ_STEPS = 21;
export const NB_RANGE_MIN_MAX = 0;
export const NB_RANGE_MOVING = 1;
export const NB_RANGE_PERCENTILE = 2;
export const NB_RANGE_SQUARED_ERROR = 3;
export const NB_RANGE_DIVERGENCE = 4;
export const NB_SIMULATE_UNIFORM = 0;
export const NB_SIMULATE_LOG = 1;
export const NB_SIMULATE_CODEBOOK = 2;
export const NB_TRAIN_EVALUATES = 0;
export const NB_TRAIN_LEARNS = 1;
export const NB_TRAIN_LEARNS_IN_8_BITS = 2;
export const NB_SPLIT_GPT2 = 0;
export const NB_SPLIT_LLAMA3 = 1;
export const NB_TRAIN_PLAIN = 0;
export const NB_TRAIN_LEARNED = 1;
export const NB_TRAIN_ABSMEAN = 2;
export const NB_TRAIN_GROUP_OF_TYPE = 0;
export const NB_TRAIN_GROUP_ROW = -1;
export const NB_TRAIN_GROUP_TENSOR = -2;
export const NB_TRAIN_FIT_ERROR = 0;
export const NB_TRAIN_FIT_MEAN = 1;
export const NB_TRAIN_TOKENS = 3;
export const NB_TRAIN_AVERAGE = 4;
export const NB_MATCHER_OPEN = 0;
export const NB_MATCHER_MAY_END = 1;
export const NB_MATCHER_ENDS = 2;
export const NB_TOKEN_USER_DEFINED = 4;

/** The core's error codes. */
export const ERRORS = /** @type {const} */ ({
    '-1': 'NB_ERR_TRUNCATED',
    '-2': 'NB_ERR_FORMAT',
    '-3': 'NB_ERR_UNSUPPORTED',
    '-4': 'NB_ERR_MEMORY',
    '-5': 'NB_ERR_ARGUMENT',
    '-6': 'NB_ERR_CONTEXT',
    '-7': 'NB_ERR_STATE',
});

/** NB_POOLING_... */
export const POOLINGS = {
    file: 0,
    mean: 1,
    cls: 2,
    last: 3,
};

/** NB_PRECISION_... */
export const PRECISIONS = {
    exact: 0,
    fast: 1,
};

/** NB_TYPE_..., of tensors. */
export const TYPES = /** @type {Record<string, number>} */ ({
    f32: 0,
    f16: 1,
    q4_0: 2,
    q4_1: 3,
    q5_0: 6,
    q5_1: 7,
    q8_0: 8,
    q8_1: 9,
    q2_k: 10,
    q3_k: 11,
    q4_k: 12,
    q5_k: 13,
    q6_k: 14,
    q8_k: 15,
    iq2_xxs: 16,
    iq2_xs: 17,
    iq3_xxs: 18,
    iq1_s: 19,
    iq4_nl: 20,
    iq3_s: 21,
    iq2_s: 22,
    iq4_xs: 23,
    i8: 24,
    i16: 25,
    i32: 26,
    i64: 27,
    f64: 28,
    iq1_m: 29,
    bf16: 30,
    tq1_0: 34,
    tq2_0: 35,
    mxfp4: 39,
    nvfp4: 40,
    q1_0: 41,
    q2_0: 42,
    f8_e4m3: 56,
    f8_e5m2: 57,
    u8: 58,
    bool: 59,
    nf4: 60,
    fp4: 61,
});

/** The names of quantizations (src/quant/presets.c). */
export const PRESETS = [
    'nf4',
    'fp4',
    'int8',
    'q8_0',
    'q6_k',
    'q5_k_m',
    'q5_k_s',
    'q5_1',
    'q5_0',
    'q4_k_m',
    'q4_k_s',
    'q4_1',
    'q4_0',
    'iq4_nl',
    'iq4_xs',
    'q3_k_l',
    'q3_k_m',
    'q3_k_s',
    'iq3_m',
    'iq3_s',
    'iq3_xs',
    'iq3_xxs',
    'q2_k',
    'q2_k_s',
    'iq2_m',
    'iq2_s',
    'iq2_xs',
    'iq2_xxs',
    'iq1_m',
    'iq1_s',
    'tq2_0',
    'tq1_0',
    'q2_0',
    'q1_0',
    'nvfp4',
    'mxfp4_moe',
    'f32',
    'f16',
    'bf16',
];

export const nb_error = {
    size: 512,
    fields: /** @type {const} */ ({
        code: { at: 0, view: 'Int32' },
        message: { at: 4, view: 'text' },
    }),
};

export const nb_quote = {
    size: 12,
    fields: /** @type {const} */ ({
        from: { at: 0, view: 'Uint32' },
        to: { at: 4, view: 'Uint32' },
        kind: { at: 8, view: 'Uint32' },
    }),
};

export const nb_plain = {
    size: 8,
    fields: /** @type {const} */ ({
        token: { at: 0, view: 'Int32' },
        kinds: { at: 4, view: 'Uint32' },
    }),
};

export const nb_turn = {
    size: 20,
    fields: /** @type {const} */ ({
        sequence: { at: 0, view: 'Uint32' },
        n: { at: 4, view: 'Int32' },
        most: { at: 8, view: 'Uint32' },
        held: { at: 12, view: 'Int32' },
        row: { at: 16, view: 'Int32' },
    }),
};

export const nb_matrix_facts = {
    size: 64,
    fields: /** @type {const} */ ({
        type: { at: 0, view: 'Uint32' },
        rows: { at: 4, view: 'Uint32' },
        columns: { at: 8, view: 'Uint32' },
        layer: { at: 12, view: 'Int32' },
        kind: { at: 16, view: 'text' },
    }),
};

export const nb_sampler_params = {
    size: 92,
    fields: /** @type {const} */ ({
        temperature: { at: 0, view: 'Float32' },
        temperature_range: { at: 4, view: 'Float32' },
        temperature_exponent: { at: 8, view: 'Float32' },
        top_k: { at: 12, view: 'Int32' },
        top_p: { at: 16, view: 'Float32' },
        min_p: { at: 20, view: 'Float32' },
        typical_p: { at: 24, view: 'Float32' },
        top_sigmas: { at: 28, view: 'Float32' },
        xtc_probability: { at: 32, view: 'Float32' },
        xtc_threshold: { at: 36, view: 'Float32' },
        repeat_penalty: { at: 40, view: 'Float32' },
        presence_penalty: { at: 44, view: 'Float32' },
        frequency_penalty: { at: 48, view: 'Float32' },
        penalty_last: { at: 52, view: 'Int32' },
        dry_multiplier: { at: 56, view: 'Float32' },
        dry_base: { at: 60, view: 'Float32' },
        dry_allowed_length: { at: 64, view: 'Int32' },
        dry_last: { at: 68, view: 'Int32' },
        mirostat: { at: 72, view: 'Uint32' },
        mirostat_tau: { at: 76, view: 'Float32' },
        mirostat_eta: { at: 80, view: 'Float32' },
        steps: { at: 84, view: 'Uint32' },
        seed: { at: 88, view: 'Uint32' },
    }),
};

export const nb_bias = {
    size: 8,
    fields: /** @type {const} */ ({
        token: { at: 0, view: 'Int32' },
        bias: { at: 4, view: 'Float32' },
    }),
};

export const nb_planned_tensor = {
    size: 560,
    fields: /** @type {const} */ ({
        at: { at: 0, view: 'Float64' },
        bytes: { at: 8, view: 'Float64' },
        columns: { at: 16, view: 'Uint32' },
        rows: { at: 20, view: 'Uint32' },
        matrices: { at: 24, view: 'Uint32' },
        source_type: { at: 28, view: 'Uint32' },
        wanted_type: { at: 32, view: 'Uint32' },
        type: { at: 36, view: 'Uint32' },
        name_bytes: { at: 40, view: 'Uint32' },
        source_name_bytes: { at: 44, view: 'Uint32' },
        name: { at: 48, view: 'text' },
        source_name: { at: 304, view: 'text' },
    }),
};

export const nb_gptq_settings = {
    size: 12,
    fields: /** @type {const} */ ({
        damping: { at: 0, view: 'Float32' },
        order: { at: 4, view: 'Uint32' },
        group: { at: 8, view: 'Uint32' },
    }),
};

export const nb_code_format = {
    size: 24,
    fields: /** @type {const} */ ({
        format: { at: 0, view: 'Uint32' },
        bits: { at: 4, view: 'Uint32' },
        group: { at: 8, view: 'Uint32' },
        symmetric: { at: 12, view: 'Uint32' },
        search: { at: 16, view: 'Float32' },
        scale_type: { at: 20, view: 'Uint32' },
    }),
};

export const nb_fold_rule = {
    size: 64,
    fields: /** @type {const} */ ({
        is_norm: { at: 0, view: 'Uint32' },
        clips: { at: 4, view: 'Uint32' },
        absorber_bytes: { at: 8, view: 'Uint32' },
        absorber: { at: 12, view: 'text' },
    }),
};

export const nb_awq_settings = {
    size: 32,
    fields: /** @type {const} */ ({
        type: { at: 0, view: 'Uint32' },
        flags: { at: 4, view: 'Uint32' },
        bits: { at: 8, view: 'Uint32' },
        group: { at: 12, view: 'Uint32' },
        symmetric: { at: 16, view: 'Uint32' },
        plain: { at: 20, view: 'Uint32' },
        heads: { at: 24, view: 'Uint32' },
        kv_heads: { at: 28, view: 'Uint32' },
    }),
};

export const nb_awq_found = {
    size: 24,
    fields: /** @type {const} */ ({
        ratio: { at: 0, view: 'Float64' },
        error: { at: 8, view: 'Float64' },
        plain: { at: 16, view: 'Float64' },
    }),
};

export const nb_input_settings = {
    size: 24,
    fields: /** @type {const} */ ({
        percentile: { at: 0, view: 'Float64' },
        ranges: { at: 8, view: 'Uint32' },
        symmetric: { at: 12, view: 'Uint32' },
        scale_type: { at: 16, view: 'Uint32' },
        nothing: { at: 20, view: 'Uint32' },
    }),
};

export const nb_input_found = {
    size: 24,
    fields: /** @type {const} */ ({
        clipped: { at: 0, view: 'Float64' },
        low: { at: 8, view: 'Float32' },
        high: { at: 12, view: 'Float32' },
        scale: { at: 16, view: 'Float32' },
        zero: { at: 20, view: 'Int32' },
    }),
};

export const nb_simulation = {
    size: 40,
    fields: /** @type {const} */ ({
        grid: { at: 0, view: 'Uint32' },
        bits: { at: 4, view: 'Uint32' },
        group: { at: 8, view: 'Uint32' },
        whole: { at: 12, view: 'Uint32' },
        symmetric: { at: 16, view: 'Uint32' },
        ranges: { at: 20, view: 'Uint32' },
        stochastic: { at: 24, view: 'Uint32' },
        seed: { at: 28, view: 'Uint32' },
        percentile: { at: 32, view: 'Float64' },
    }),
};

export const nb_train_shape = {
    size: 44,
    fields: /** @type {const} */ ({
        vocabulary: { at: 0, view: 'Uint32' },
        width: { at: 4, view: 'Uint32' },
        layers: { at: 8, view: 'Uint32' },
        heads: { at: 12, view: 'Uint32' },
        kv_heads: { at: 16, view: 'Uint32' },
        head_size: { at: 20, view: 'Uint32' },
        hidden: { at: 24, view: 'Uint32' },
        is_tied: { at: 28, view: 'Uint32' },
        is_interleaved: { at: 32, view: 'Uint32' },
        rope_base: { at: 36, view: 'Float32' },
        epsilon: { at: 40, view: 'Float32' },
    }),
};

export const nb_train_tensor = {
    size: 64,
    fields: /** @type {const} */ ({
        first: { at: 0, view: 'Uint32' },
        rows: { at: 4, view: 'Uint32' },
        columns: { at: 8, view: 'Uint32' },
        decays: { at: 12, view: 'Uint32' },
        name: { at: 16, view: 'text' },
    }),
};

export const nb_train_loss = {
    size: 8,
    fields: /** @type {const} */ ({
        share: { at: 0, view: 'Float32' },
        temperature: { at: 4, view: 'Float32' },
    }),
};

export const nb_train_optimizer = {
    size: 36,
    fields: /** @type {const} */ ({
        rate: { at: 0, view: 'Float32' },
        last_rate: { at: 4, view: 'Float32' },
        warmup: { at: 8, view: 'Uint32' },
        steps: { at: 12, view: 'Uint32' },
        beta1: { at: 16, view: 'Float32' },
        beta2: { at: 20, view: 'Float32' },
        epsilon: { at: 24, view: 'Float32' },
        decay: { at: 28, view: 'Float32' },
        clip: { at: 32, view: 'Float32' },
    }),
};

export const nb_train_type = {
    size: 52,
    fields: /** @type {const} */ ({
        name: { at: 0, view: 'text' },
        type: { at: 48, view: 'Uint32' },
    }),
};

export const nb_bpe_facts = {
    size: 32,
    fields: /** @type {const} */ ({
        bytes: { at: 0, view: 'Float64' },
        words: { at: 8, view: 'Float64' },
        distinct: { at: 16, view: 'Float64' },
        broken: { at: 24, view: 'Float64' },
    }),
};

export const nb_train_rounding = {
    size: 28,
    fields: /** @type {const} */ ({
        method: { at: 0, view: 'Uint32' },
        type: { at: 4, view: 'Uint32' },
        levels: { at: 8, view: 'Uint32' },
        has_minima: { at: 12, view: 'Uint32' },
        group: { at: 16, view: 'Int32' },
        fit: { at: 20, view: 'Uint32' },
        rate: { at: 24, view: 'Float32' },
    }),
};

export const nb_train_signals = {
    size: 32,
    fields: /** @type {const} */ ({
        inputs: { at: 0, view: 'Uint32' },
        input_levels: { at: 4, view: 'Uint32' },
        input_minima: { at: 8, view: 'Uint32' },
        frozen: { at: 12, view: 'Uint32' },
        average: { at: 16, view: 'Float32' },
        rate: { at: 20, view: 'Float32' },
        gradient_bits: { at: 24, view: 'Uint32' },
        seed: { at: 28, view: 'Uint32' },
    }),
};

export const nb_auto_round_settings = {
    size: 20,
    fields: /** @type {const} */ ({
        windows: { at: 0, view: 'Uint32' },
        window: { at: 4, view: 'Uint32' },
        steps: { at: 8, view: 'Uint32' },
        batch: { at: 12, view: 'Uint32' },
        seed: { at: 16, view: 'Uint32' },
    }),
};

export const nb_auto_round_grid = {
    size: 20,
    fields: /** @type {const} */ ({
        type: { at: 0, view: 'Uint32' },
        bits: { at: 4, view: 'Uint32' },
        group: { at: 8, view: 'Uint32' },
        symmetric: { at: 12, view: 'Uint32' },
        least_zero: { at: 16, view: 'Uint32' },
    }),
};
