/* Every unit test includes this first: cmocka with the headers it insists on. */
#ifndef BASTIDE_TESTS_CHECK_H
#define BASTIDE_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define check_status(expected, call) assert_int_equal((expected), (call))
#define check_ok(call) assert_int_equal(0, (call))
#define check_bytes(expected, actual)                                                                                  \
    do {                                                                                                               \
        struct bytes expected_ = (expected), actual_ = (actual);                                                       \
        assert_int_equal(expected_.len, actual_.len);                                                                  \
        if (expected_.len)                                                                                             \
            assert_memory_equal(expected_.data, actual_.data, expected_.len);                                          \
    } while (0)

#endif
