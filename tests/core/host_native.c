/* The native host of the C suite: core-tests [FILTER], run from the repository's root. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

int32_t test_run(const char *filter);

size_t test_read(const char *path, void *out, size_t capacity) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    size_t size = fread(out, 1, capacity, file);
    if (size == capacity && fseek(file, 0, SEEK_END) == 0)
        size = (size_t)ftell(file);
    (void)fclose(file); /* it was only read */
    return size;
}

void test_print(const char *text, size_t size) {
    if (fwrite(text, 1, size, stdout) < size || fflush(stdout))
        abort(); /* failures could not be reported */
}

/* The native pool starts and joins its own threads. */
void test_start_workers(nb_pool *pool, int32_t n_threads) {
    (void)pool, (void)n_threads;
}

void test_join_workers(void) {}

int main(int argc, char **argv) {
    return test_run(argc > 1 ? argv[1] : "") ? 1 : 0;
}
