/* What this build has, a line each, for the tables of docs/support.md (tests/support/tables.js). It runs only when
 * asked for by its full name:
 *     family ARCHITECTURE
 *     kernel TYPE exact|fast NAME        (what multiplies weights of that type) */
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/kernels/matmul.h"
#include "../../src/types/traits.h"
#include "../../src/models/family.h"
#include "check.h"

static void print_line(const char *kind, const char *name, const char *value) {
    char line[128];
    nb_writer w = nb_writer_over(line, sizeof line);
    nb_write(&w, "%s %s%s\n", kind, name, value);
    CHECK(w.length < sizeof line, "%s has no room on its line", name);
    test_print(line, w.length);
}

void print_lists(void) {
    for (const nb_family *const *f = nb_families; *f; f++)
        print_line("family", (*f)->name, "");
    static const uint32_t precisions[] = {NB_PRECISION_EXACT, NB_PRECISION_FAST};
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        for (int i = 0; i < 2 && nb_traits_of(type); i++) {
            uint32_t precision = precisions[i];
            char value[96];
            nb_writer w = nb_writer_over(value, sizeof value);
            const char *kernel = nb_matmul_kernel_of(type, precision)->name;
            nb_write(&w, precision == NB_PRECISION_FAST ? " fast %s" : " exact %s", kernel);
            print_line("kernel", nb_traits_of(type)->name, value);
        }
}
