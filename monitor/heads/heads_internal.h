/* heads, inside: a slot in the open, and a site's records. */
#ifndef BASTIDE_HEADS_INTERNAL_H
#define BASTIDE_HEADS_INTERNAL_H

#include "heads.h"

#define HEADS_MAC_LEN 32
#define TABLE_MAGIC_LEN 8

/* One slot in the open. */
struct table {
    bool valid;
    bool blank; /* never written */
    uint64_t generation;
    uint64_t counter;
    uint64_t since_s;
    uint8_t nonce[HEADS_NONCE_LEN];
    uint8_t ahead[HEADS_NONCE_LEN]; /* zero, or the nonce of the slot that will be written next */
    size_t places;
    struct head heads[HEADS_SITES_MAX];
    bool first;       /* of before records counted by themselves */
    uint64_t epoch;   /* behind the heads: zero in tables of before there was one */
    uint64_t written; /* in those: one more than the place whose newest record was written with it; 0: none */
};

/* table.c */
extern const uint8_t table_magic[TABLE_MAGIC_LEN]; /* with which a slot begins since records count by themselves */
MUST_USE enum status table_encode(const struct heads *heads, const struct table *table, uint8_t data[HEADS_SLOT_LEN]);
/* False: not written by us. */
bool table_decode(const struct heads *heads, const uint8_t data[HEADS_SLOT_LEN], struct table *table);

/* records.c */
MUST_USE enum status record_is_named(struct bytes record, const uint8_t hash[32], bool *named);
/* NOT_FOUND: another is there. */
MUST_USE enum status record_read(const struct heads *heads, size_t place, const uint8_t site[HEADS_SITE_LEN],
                                 uint64_t sequence, uint8_t data[HEADS_PLACE_LEN], struct bytes *record);
/* As one that follows the table with heads->nonce. */
MUST_USE enum status record_make(const struct heads *heads, const struct head *head, struct bytes record,
                                 uint8_t data[HEADS_PLACE_LEN]);
/* The next after `head`, if it follows the table with heads->nonce: *head is moved to it. NOT_FOUND: there is none. */
MUST_USE enum status record_follow(const struct heads *heads, size_t place, struct head *head,
                                   uint8_t data[HEADS_PLACE_LEN]);

#endif
