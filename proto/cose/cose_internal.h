/* What the two messages share: tag, headers and their reading and writing. */
#ifndef BASTIDE_COSE_INTERNAL_H
#define BASTIDE_COSE_INTERNAL_H

#include "cose.h"

#define COSE_PROTECTED_MAX 300 /* the protected headers we write ourselves */

/* Content of the protected byte string. */
void headers_put_protected(struct writer *writer, int64_t alg, const struct cose_headers *headers);
void headers_put_unprotected(struct writer *writer, const struct cose_headers *headers);

/* Takes an optional tag, the array head of a message of `count` elements, and its two header buckets. */
void headers_take(struct reader *reader, uint64_t tag, size_t count, struct cose_headers *headers,
                  struct bytes *protected_raw);

#endif
