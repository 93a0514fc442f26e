/* Notes: what changed in a table that the session does not watch, as its owner says it. They stand before the changes
 * in a record's text, u32be length and bytes; the header's schema version tells that they do. */
#include "store_internal.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH_LEN 4u
#define CAP 4096u /* kept from group to group; more is for one */

_Static_assert(STORE_HEADER_LEN + LENGTH_LEN + STORE_NOTES_MAX + STORE_TAG_LEN <= STORE_RECORD_MAX,
               "as many notes as there may be are a record");

bool store_is_noted(const struct store *store, uint32_t schema)
{
    return store->config.noted.table && schema >= store->config.noted.since;
}

int store_is_watched(void *user, const char *table)
{
    struct store *store = user;
    const bool noted = store->config.noted.table && strcmp(table, store->config.noted.table) == 0;
    store->passed += noted;
    return !noted;
}

static enum status reserve(struct store *store, size_t len)
{
    size_t cap = store->notes.cap ? store->notes.cap : CAP;
    while (cap < len)
        cap *= 2;
    if (cap == store->notes.cap)
        return OK;
    uint8_t *data = realloc(store->notes.data, cap);
    if (!data)
        return NO_ROOM;
    store->notes.data = data;
    store->notes.cap = cap;
    return OK;
}

enum status store_note(struct store *store, const struct bytes *parts, size_t count)
{
    if (store->state != STORE_SERVING || !store->config.noted.table || !store->grouped ||
        sqlite3_get_autocommit(store->db))
        return WRONG_STATE;
    size_t used = store->notes.len ? store->notes.len : LENGTH_LEN, len = used;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > LENGTH_LEN + STORE_NOTES_MAX - len)
            return NO_ROOM;
        len += parts[i].len;
    }
    TRY(reserve(store, len));
    struct writer out = writer_over(store->notes.data + used, len - used);
    for (size_t i = 0; i < count; i++)
        put_bytes(&out, parts[i]);
    store->notes.len = len;
    return writer_end(&out);
}

enum status store_note_text(struct store *store, struct bytes changes, struct bytes *text)
{
    *text = changes;
    if (!store->config.noted.table)
        return OK;
    const size_t used = store->notes.len ? store->notes.len : LENGTH_LEN;
    if (changes.len > STORE_RECORD_MAX - used)
        return NO_ROOM;
    TRY(reserve(store, used + changes.len));
    struct writer length = writer_over(store->notes.data, LENGTH_LEN);
    put_u32be(&length, (uint32_t)(used - LENGTH_LEN));
    struct writer rest = writer_over(store->notes.data + used, changes.len);
    put_bytes(&rest, changes);
    *text = bytes_from(store->notes.data, used + changes.len);
    return OK;
}

void store_notes_forget(struct store *store)
{
    store->notes.len = 0;
    if (!store->notes.data)
        return;
    wipe(store->notes.data, store->notes.cap);
    if (store->notes.cap == CAP)
        return;
    free(store->notes.data);
    store->notes.data = NULL;
    store->notes.cap = 0;
}

enum status store_note_take(struct bytes text, struct bytes *notes, struct bytes *changes)
{
    struct reader in = reader_over(text);
    const uint32_t len = take_u32be(&in);
    struct bytes noted = take_bytes(&in, len), rest = take_rest(&in);
    TRY(reader_end(&in));
    *notes = noted;
    *changes = rest;
    return OK;
}
