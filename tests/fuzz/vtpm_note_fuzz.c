/* Notes of a vTPM's states, as records have them: {u8 length, notes}*, each applied to what the ones before made. No
 * state grows past its limit, and what was applied is what the tables have once it is settled. */
#include "vtpm_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vtpm vtpm;
static sqlite3 *db;

static void must(bool held)
{
    if (!held)
        abort();
}

static void prepare(void)
{
    must(sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, NULL) ==
         SQLITE_OK);
    must(sqlite3_exec(db, vtpm_schema[0], NULL, NULL, NULL) == SQLITE_OK);
}

static void check_settled(void)
{
    struct vtpm_state before[VTPM_KINDS];
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        const struct vtpm_state *state = &vtpm.states[kind];
        must(state->exists == (state->len > 0) && state->len <= state->cap && state->cap <= VTPM_STATE_MAX);
        before[kind] = *state;
        before[kind].data = state->len ? malloc(state->len) : NULL;
        if (state->len)
            memcpy(before[kind].data, state->data, state->len);
    }
    must(vtpm_notes_settle(&vtpm, db) == OK && vtpm_pieces_load(&vtpm, db) == OK);
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        must(bytes_equal(bytes_from(before[kind].data, before[kind].len),
                         bytes_from(vtpm.states[kind].data, vtpm.states[kind].len)));
        free(before[kind].data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(bytes_from(data, size));
    enum status status = OK;
    if (!db)
        prepare();
    must(sqlite3_exec(db, "DELETE FROM piece", NULL, NULL, NULL) == SQLITE_OK);
    must(vtpm_pieces_load(&vtpm, db) == OK);
    while (status == OK && input.rest.len) {
        const size_t len = take_u8(&input);
        status = vtpm_notes_apply(&vtpm, db, take_bytes(&input, len < input.rest.len ? len : input.rest.len));
        must(status == OK || status == MALFORMED || status == TRUNCATED);
        if (status == OK && len % 2)
            check_settled();
    }
    check_settled();
    return 0;
}
