/* The schemas of the programs: every one keeps the store's rules. */
#include "check.h"

#include "hub_internal.h"
#include "store.h"
#include "vtpm_internal.h"

#include <stdio.h>

static void the_schema_of_each_program_keeps_the_rules(void **state)
{
    (void)state;
    const struct {
        const char *program;
        const char *const *migrations;
        size_t count;
    } programs[] = {{"hub", hub_schema, hub_schema_count}, {"vtpm", vtpm_schema, vtpm_schema_count}};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        char text[256] = "";
        struct writer why = writer_over(text, sizeof text - 1);
        if (store_check_schema(programs[i].migrations, programs[i].count, &why) != OK)
            fail_msg("%s: %s", programs[i].program, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_schema_of_each_program_keeps_the_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
