/* Loading: bytes that nobody sealed never load; a sealed record loads only unbent, and then holds what went in. */
#include "../store_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
    if (!held)
        abort();
}

static struct rig sealed_site(struct bytes value)
{
    struct rig rig = rig_new(1);
    must(rig_start(&rig) == OK);
    sqlite3_stmt *put;
    must(sqlite3_prepare_v2(store_database(rig.store), "INSERT INTO item VALUES('fuzz', ?, 1)", -1, &put, NULL) ==
         SQLITE_OK);
    sqlite3_bind_blob(put, 1, value.len ? value.data : (const uint8_t *)"", (int)value.len, SQLITE_STATIC);
    must(sqlite3_step(put) == SQLITE_DONE);
    sqlite3_finalize(put);
    must(rig_commit(&rig) == OK);
    return rig;
}

static void check_value(struct rig *rig, struct bytes value)
{
    sqlite3_stmt *get;
    must(sqlite3_prepare_v2(store_database(rig->store), "SELECT value FROM item WHERE name = 'fuzz'", -1, &get, NULL) ==
         SQLITE_OK);
    must(sqlite3_step(get) == SQLITE_ROW);
    must(bytes_equal(bytes_from(sqlite3_column_blob(get, 0), (size_t)sqlite3_column_bytes(get, 0)), value));
    sqlite3_finalize(get);
}

/* The host's version: some bytes changed, the rest cut off. True when it is still the same. */
static bool bend(struct reader *how, struct bytes *sealed)
{
    struct bytes before = rig_copy(*sealed);
    uint8_t *bytes = (uint8_t *)(uintptr_t)sealed->data;
    for (unsigned changes = take_u8(how) % 4; changes > 0; changes--)
        bytes[take_u16le(how) % sealed->len] ^= take_u8(how);
    if (take_u8(how) % 8 == 7)
        sealed->len -= take_u16le(how) % sealed->len;
    bool same = bytes_equal(before, *sealed);
    rig_drop(&before);
    return same;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        must(crypto_init() == OK);
    ready = true;
    struct reader input = reader_over(bytes_from(data, size));
    uint8_t kind = take_u8(&input);
    if (kind % 4 == 0) {
        struct rig rig = rig_new(1);
        must(rig_open(&rig) == OK);
        enum status status = kind & 4 ? store_load_snapshot(rig.store, input.rest) : store_apply(rig.store, input.rest);
        must(status == DENIED && store_refused(rig.store) != STORE_ACCEPTED && !store_database(rig.store));
        rig_free(&rig);
        return 0;
    }
    struct reader how = reader_over(take_bytes(&input, 16));
    struct bytes value = take_rest(&input);
    if (value.len > 4096)
        return 0;
    struct rig rig = sealed_site(value);
    if (kind % 4 == 1)
        must(rig_compact(&rig) == OK);
    bool same = bend(&how, rig.log_count ? &rig.log[0] : &rig.snapshot);
    enum status status = rig_start(&rig);
    must(same ? status == OK : status == DENIED && !store_database(rig.store));
    if (same)
        check_value(&rig, value);
    rig_free(&rig);
    return 0;
}
