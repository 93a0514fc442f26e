/* der: the elements of DER (X.690 §10), taken off the front and put at the end. Never allocates, never accepts what it
 * would not write itself. */
#ifndef BASTIDE_DER_H
#define BASTIDE_DER_H

#include "base.h"

#define DER_NO_END 253402300799 /* 9999-12-31T23:59:59Z, the last time there is (RFC 5280 §4.1.2.5) */

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTF8 = 0x0c,
    DER_PRINTABLE = 0x13,
    DER_IA5 = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT = 0x80,      /* + number: primitive */
    DER_CONTEXT_HELD = 0xa0, /* + number: constructed */
};

/* The contents of the next element, which must have this tag and the shortest length there is, below 65,536. */
struct bytes der_take(struct reader *reader, unsigned tag);
/* The element with its head. *tag may be any low tag; NULL: not wanted. */
struct bytes der_take_element(struct reader *reader, unsigned *tag);
struct bytes der_take_oid(struct reader *reader);
bool der_is_next(const struct reader *reader, unsigned tag);
bool der_take_true(struct reader *reader);             /* BOOLEAN DEFAULT FALSE: there is TRUE, or there is nothing */
struct bytes der_take_positive(struct reader *reader); /* INTEGER above zero, without a leading zero byte */
uint16_t der_take_small(struct reader *reader);        /* INTEGER from 0 to 32767 */
struct bytes der_take_bits(struct reader *reader);     /* BIT STRING of whole bytes */
int64_t der_take_time(struct reader *reader);          /* RFC 5280 §4.1.2.5 */
/* For elements inside one that was whole: what is cut there is MALFORMED, not TRUNCATED. */
MUST_USE enum status der_end(const struct reader *reader);

/* An element whose contents are written between open and close. */
size_t der_open(struct writer *writer, unsigned tag);
void der_close(struct writer *writer, size_t opened);
void der_put(struct writer *writer, unsigned tag, struct bytes contents);
void der_put_positive(struct writer *writer, struct bytes number);
void der_put_small(struct writer *writer, uint16_t number);
void der_put_bits(struct writer *writer, struct bytes whole_bytes);
void der_put_time(struct writer *writer, int64_t time_s); /* MALFORMED outside of the years 1950 to 9999 */
void der_put_generalized_time(struct writer *writer,
                              int64_t time_s); /* so too; RFC 5755 §4.2.6 wants this form always */

#endif
