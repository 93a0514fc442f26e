/* Policy texts: what is accepted can be written out again and reads the same; what is refused names a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compartment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t write_policy(const struct compartment_policy *policy, char *text, size_t cap)
{
    size_t len = (size_t)snprintf(text, cap, "Version 1\ncompartment %s\nmemory %u\ntable %u\nstack %u\n", policy->name,
                                  policy->memory_pages, policy->table_elements, policy->stack_bytes);
    for (size_t i = 0; i < policy->grants_count; i++) {
        const struct compartment_grant *grant = &policy->grants[i];
        if (i == 0 || strcmp(grant->module, policy->grants[i - 1].module) != 0)
            len += (size_t)snprintf(text + len, cap - len, "import %s\n", grant->module);
        len += (size_t)snprintf(text + len, cap - len, "\t%s\n", grant->function);
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[COMPARTMENT_POLICY_MAX * 2];
    struct compartment_policy policy, again;
    char words[256];
    struct writer why = writer_over(words, sizeof(words));
    if (compartment_policy_read(bytes_from(data, size), &policy, &why) != OK) {
        if (why.len < 14 || memcmp(words, "policy line ", 12) != 0)
            abort();
        return 0;
    }
    size_t len = write_policy(&policy, text, sizeof(text));
    if (compartment_policy_read(bytes_from(text, len), &again, NULL) != OK ||
        again.grants_count != policy.grants_count || strcmp(again.name, policy.name) != 0 ||
        again.memory_pages != policy.memory_pages || again.table_elements != policy.table_elements ||
        again.stack_bytes != policy.stack_bytes)
        abort();
    for (size_t i = 0; i < policy.grants_count; i++)
        if (strcmp(again.grants[i].module, policy.grants[i].module) != 0 ||
            strcmp(again.grants[i].function, policy.grants[i].function) != 0)
            abort();
    return 0;
}
