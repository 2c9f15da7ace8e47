/* The C suite: one void test_<subject>(void) a file, listed in runner.c, run natively under the sanitizers and in each
 * WebAssembly build. Freestanding, as the core is. */
#ifndef NB_CHECK_H
#define NB_CHECK_H

#include "../../src/nibble.h"

#include <stdbool.h>

/* Counts a check; one that does not hold is reported and fails the test, which goes on. The message is formatted as
 * base/writer.h does and evaluated only then. Yields whether the condition holds:
 *     CHECK(n == 3, "%d tokens", n);
 *     if (!CHECK(model, "%s", err.message)) return; */
#ifdef __clang_analyzer__ /* it sees one file at a time, so it does not know what test_check returns */
#define CHECK(condition, ...) ((condition) ? true : (test_fail(__FILE__, __LINE__, #condition, __VA_ARGS__), false))
#else
#define CHECK(condition, ...) \
    test_check((condition) ? true : (test_fail(__FILE__, __LINE__, #condition, __VA_ARGS__), false))
#endif

bool test_check(bool holds);
void test_fail(const char *file, int32_t line, const char *condition, const char *format, ...);

/* Whether the text, such as a message, contains `part`. */
bool test_contains(const char *text, const char *part);

/* Makes a pool with its workers running, and ends it, in any build. (Without threads, it is a pool of one.) */
nb_pool *test_pool_new(int32_t n_threads);
void test_pool_free(nb_pool *pool);

/* A whole file, to be freed with nb_free; *size = 0, and a failed check, if there is none. */
uint8_t *test_read_all(const char *path, size_t *size);

/* ---- what the host provides: host_native.c, or run.js for WebAssembly ---- */

#ifdef __wasm__
#define TEST_HOST(name) __attribute__((import_module("env"), import_name(#name)))
#else
#define TEST_HOST(name)
#endif

/* Reads the first `capacity` bytes of a file; path is relative to the repository's root. Returns the file's whole
 * size, 0 if there is none. */
TEST_HOST(test_read) size_t test_read(const char *path, void *out, size_t capacity);
TEST_HOST(test_print) void test_print(const char *text, size_t size);

/* In WebAssembly these make workers 1 ... n_threads-1 (of 8 at most) work for the pool, and wait until they have left a
 * stopped pool; the native pool does both itself. One pool at a time. Use test_pool_new and test_pool_free. */
TEST_HOST(test_start_workers) void test_start_workers(nb_pool *pool, int32_t n_threads);
TEST_HOST(test_join_workers) void test_join_workers(void);

#endif
