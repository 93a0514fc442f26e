/* A vTPM whose state is one index of one byte, and what its host keeps of it. Included behind a rig of vTPMs. */
#ifndef BASTIDE_TESTS_VTPM_INDEX_RIG_H
#define BASTIDE_TESTS_VTPM_INDEX_RIG_H

#define INDEX 0x01500001u

static inline uint32_t put(struct rig *rig, uint8_t value)
{
    return rig_nv_write(rig, INDEX, bytes_from(&value, 1), "");
}

static inline int get(struct rig *rig)
{
    struct bytes data = {0};
    return rig_nv_read(rig, INDEX, 1, "", &data) == 0 && data.len == 1 ? data.data[0] : -1;
}

/* On, with one index that holds 1. */
static inline void begin(struct rig *rig)
{
    rig_init(rig);
    rig_on(rig);
    assert_int_equal(0, rig_nv_define(rig, INDEX, 1, ""));
    assert_int_equal(0, put(rig, 1));
}

/* Once the vTPM has stopped. */
static inline sqlite3 *host(const struct rig *rig)
{
    sqlite3 *db = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_open_v2(rig->path, &db, SQLITE_OPEN_READWRITE, "unix"));
    return db;
}

static inline int64_t ask_host(const struct rig *rig, const char *text)
{
    sqlite3 *db = host(rig);
    sqlite3_stmt *get_number = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_prepare_v2(db, text, -1, &get_number, NULL));
    assert_int_equal(SQLITE_ROW, sqlite3_step(get_number));
    const int64_t number = sqlite3_column_int64(get_number, 0);
    sqlite3_finalize(get_number);
    sqlite3_close(db);
    return number;
}

#endif
