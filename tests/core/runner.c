/* Runs the tests of the list below and prints a line for each. */
#include "check.h"

#include "../../src/base/text.h"
#include "../../src/base/threads.h"
#include "../../src/base/writer.h"

#ifdef NB_NATIVE
#define NATIVE_TESTS(T) T(no_memory)
#else
#define NATIVE_TESTS(T)
#endif

/* Add a line for a new test: T(subject) calls test_subject. */
#define TEST_LIST(T)    \
    T(runner)           \
    T(threads)          \
    T(sizes)            \
    T(messages)         \
    T(recognize)        \
    T(gguf)             \
    T(gguf_refusals)    \
    T(json)             \
    T(safetensors)      \
    T(reshape)          \
    T(conversion)       \
    T(parts)            \
    T(dequantize)       \
    T(quantize)         \
    T(quantize_best)    \
    T(presets)          \
    T(imatrix)          \
    T(gptq)             \
    T(gptq_blocks)      \
    T(gptq_folder)      \
    T(primitives)       \
    T(ranges)           \
    T(simulate)         \
    T(mix)              \
    T(awq)              \
    T(int8)             \
    T(product)          \
    T(scales)           \
    T(tuning)           \
    T(train)            \
    T(train_engine)     \
    T(bpe_trainer)      \
    T(train_rounding)   \
    T(auto_round)       \
    T(train_moments)    \
    T(bnb)              \
    T(integer)          \
    T(integer_refusals) \
    T(packing)          \
    T(kernels)          \
    T(matmul)           \
    T(ops)              \
    T(attention)        \
    T(model)            \
    T(saving)           \
    T(batch)            \
    T(observer)         \
    T(collector)        \
    T(walk)             \
    T(walk_oracle)      \
    T(walk_refusals)    \
    T(probe)            \
    T(compare)          \
    T(keys)             \
    T(loading)          \
    T(outliers)         \
    T(adapter)          \
    T(finite)           \
    NATIVE_TESTS(T)     \
    T(tokenizer)        \
    T(detokenizer)      \
    T(gguf_vocabulary)  \
    T(special)          \
    T(charsmap)         \
    T(splits)           \
    T(vocabulary)       \
    T(sampler)          \
    T(grammar)          \
    T(sampler_steps)

#define DECLARE(subject) void test_##subject(void);
TEST_LIST(DECLARE)

enum { FAILURES_SHOWN = 10 };

static int32_t checks, failures; /* of the running test */

static void print(const char *format, ...) {
    char line[1024];
    nb_writer w = nb_writer_over(line, sizeof line);
    va_list args;
    va_start(args, format);
    nb_write_format(&w, format, args);
    va_end(args);
    test_print(line, w.length < sizeof line ? w.length : sizeof line - 1);
}

bool test_check(bool holds) {
    checks++;
    return holds;
}

void test_fail(const char *file, int32_t line, const char *condition, const char *format, ...) {
    failures++;
    if (failures > FAILURES_SHOWN)
        return;
    char message[600];
    nb_writer w = nb_writer_over(message, sizeof message);
    va_list args;
    va_start(args, format);
    nb_write_format(&w, format, args);
    va_end(args);
    print("    %s:%d: %s does not hold: %s\n", file, line, condition, message);
    if (failures == FAILURES_SHOWN)
        print("    (further failures of this test are only counted)\n");
}

uint8_t *test_read_all(const char *path, size_t *size) {
    *size = test_read(path, NULL, 0);
    uint8_t *bytes = nb_alloc(*size);
    if (!CHECK(*size && bytes && test_read(path, bytes, *size) == *size, "cannot read %s", path))
        *size = 0;
    return bytes;
}

nb_pool *test_pool_new(int32_t n_threads) {
#ifndef NB_THREADS
    n_threads = 1;
#endif
    nb_error err;
    nb_pool *pool = nb_pool_new(n_threads, &err);
    if (!CHECK(pool, "%s", err.message))
        return NULL;
    if (n_threads > 1)
        test_start_workers(pool, n_threads);
    return pool;
}

void test_pool_free(nb_pool *pool) {
    if (!pool)
        return;
    nb_pool_stop(pool);
    if (nb_pool_threads(pool) > 1)
        test_join_workers();
    nb_pool_free(pool);
}

void test_runner(void) {
    CHECK(true, "never seen");
    char byte;
    size_t size = test_read("LICENSE", &byte, 1);
    CHECK(size > 1000 && byte == 'M', "LICENSE has %z bytes", size);
    CHECK(test_read("no such file", &byte, 1) == 0, "it exists");
}

/* Only run when asked for by its full name: proves that a check that does not hold fails the run. */
static void fails_on_purpose(void) {
    CHECK(1 + 1 == 3, "%d", 1 + 1);
}

static void makes_no_check(void) {}

void print_lists(void);       /* lists.c: also only by its full name */
void print_folder_keys(void); /* folder_keys.c: likewise */

/* Returns whether the test passed. */
static bool run(const char *name, void (*test)(void)) {
    checks = failures = 0;
    test();
    bool passed = failures == 0 && checks > 0;
    if (checks == 0)
        print("    %s made no check\n", name);
    print("%s %s: %d checks, %d failed\n", passed ? "ok  " : "FAIL", name, checks, failures);
    return passed;
}

bool test_contains(const char *text, const char *part) {
    size_t size = nb_length(text), want = nb_length(part);
    for (size_t at = 0; at + want <= size; at++)
        if (nb_compare(text + at, part, want) == 0)
            return true;
    return false;
}

#if defined(NB_NATIVE) && defined(__i386__)
static const char BUILD[] = "native-32";
#elif defined(NB_NATIVE)
static const char BUILD[] = "native";
#elif defined(NB_DOT) && defined(NB_THREADS)
static const char BUILD[] = "relaxed-dot-threads";
#elif defined(NB_DOT)
static const char BUILD[] = "relaxed-dot";
#elif defined(__wasm_relaxed_simd__) && defined(NB_THREADS)
static const char BUILD[] = "relaxed-threads";
#elif defined(__wasm_relaxed_simd__)
static const char BUILD[] = "relaxed";
#elif defined(NB_THREADS)
static const char BUILD[] = "simd128-threads";
#else
static const char BUILD[] = "simd128";
#endif

/* Runs the tests whose name contains filter (all for ""); returns how many failed. */
#ifdef __wasm__
__attribute__((export_name("test_run")))
#endif
int32_t test_run(const char *filter) {
    int32_t passed = 0, failed = 0;
#define RUN(subject)                     \
    if (test_contains(#subject, filter)) \
        *(run(#subject, test_##subject) ? &passed : &failed) += 1;
    TEST_LIST(RUN)
    if (nb_text_is(nb_text_of(filter), "fails_on_purpose"))
        *(run(filter, fails_on_purpose) ? &passed : &failed) += 1;
    if (nb_text_is(nb_text_of(filter), "makes_no_check"))
        *(run(filter, makes_no_check) ? &passed : &failed) += 1;
    if (nb_text_is(nb_text_of(filter), "print_lists"))
        *(run(filter, print_lists) ? &passed : &failed) += 1;
    if (nb_text_is(nb_text_of(filter), "print_folder_keys"))
        *(run(filter, print_folder_keys) ? &passed : &failed) += 1;
    if (passed + failed == 0) {
        print("no test's name contains '%s'\n", filter);
        failed = 1;
    }
    print("core %s: %d passed, %d failed\n", BUILD, passed, failed);
    return failed;
}

#ifdef __wasm__
/* The builds are linked without a C library; memcpy, memmove and memset are instructions. */
int memcmp(const void *a, const void *b, size_t n) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* Where run.js writes the filter: 64 bytes. */
__attribute__((export_name("test_filter"))) char *test_filter(void) {
    static char filter[64];
    return filter;
}
#endif
