/* A static program without the C library's sentence for an assertion that fails, in the words and wide characters of
 * any locale: it ends as it would. */
#undef NDEBUG /* else it is not declared */
#include <assert.h>
#include <stdlib.h>

void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
    (void)assertion, (void)file, (void)line, (void)function;
    abort();
}
