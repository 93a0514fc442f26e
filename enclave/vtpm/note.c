/* What a commit changes in the states, as the store's notes have it, and back: a state is written from an offset on,
 * which may make it longer, or is cut. While records are loaded their notes are applied to the states in memory; the
 * tables follow once, before they are used. Integers are big endian:
 *
 *     u8 1, u8 kind, u32 offset, u32 length, bytes     written
 *     u8 2, u8 kind, u32 length                        cut to that, 0: gone */
#include "vtpm_internal.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 10u

enum what { WRITTEN = 1, CUT = 2 };

struct note {
    enum what what;
    enum vtpm_kind kind;
    size_t off;
    struct bytes bytes; /* WRITTEN */
};

enum status vtpm_note_written(struct vtpm *vtpm, enum vtpm_kind kind, size_t off, struct bytes bytes)
{
    uint8_t head[HEAD_MAX];
    struct writer writer = writer_over(head, sizeof head);
    put_u8(&writer, WRITTEN);
    put_u8(&writer, (uint8_t)kind);
    put_u32be(&writer, (uint32_t)off);
    put_u32be(&writer, (uint32_t)bytes.len);
    TRY(writer_end(&writer));
    return store_note(vtpm->store, (const struct bytes[]){writer_bytes(&writer), bytes}, 2);
}

enum status vtpm_note_cut(struct vtpm *vtpm, enum vtpm_kind kind, size_t len)
{
    uint8_t head[HEAD_MAX];
    struct writer writer = writer_over(head, sizeof head);
    put_u8(&writer, CUT);
    put_u8(&writer, (uint8_t)kind);
    put_u32be(&writer, (uint32_t)len);
    TRY(writer_end(&writer));
    const struct bytes note = writer_bytes(&writer);
    return store_note(vtpm->store, &note, 1);
}

/* ---- While loading ---- */

static enum status take(struct reader *reader, struct note *note)
{
    const uint8_t what = take_u8(reader), kind = take_u8(reader);
    note->off = take_u32be(reader);
    note->bytes = what == WRITTEN ? take_bytes(reader, take_u32be(reader)) : (struct bytes){0};
    note->what = (enum what)what;
    note->kind = (enum vtpm_kind)kind;
    TRY(reader->status);
    return (what == WRITTEN || what == CUT) && kind < VTPM_KINDS ? OK : MALFORMED;
}

/* Nothing is written behind a state's end, and no write or cut is of nothing. */
static bool fits(const struct note *note, const struct vtpm_state *state)
{
    if (note->what == CUT)
        return note->off < state->len;
    return note->bytes.len && note->off <= state->len && note->bytes.len <= VTPM_STATE_MAX - note->off;
}

static enum status act(struct vtpm *vtpm, const struct note *note)
{
    struct vtpm_state *state = &vtpm->states[note->kind];
    if (note->what == CUT) {
        vtpm_state_shorten(state, note->off);
        return OK;
    }
    const size_t end = note->off + note->bytes.len;
    if (end > state->len)
        TRY(vtpm_state_lengthen(state, end));
    memcpy(state->data + note->off, note->bytes.data, note->bytes.len);
    return OK;
}

enum status vtpm_notes_apply(void *user, sqlite3 *db, struct bytes notes)
{
    struct vtpm *vtpm = user;
    if (!vtpm->ahead)
        TRY(vtpm_pieces_load(vtpm, db));
    vtpm->ahead = true;
    struct reader reader = reader_over(notes);
    while (reader.rest.len) {
        struct note note;
        TRY(take(&reader, &note));
        if (!fits(&note, &vtpm->states[note.kind]))
            return MALFORMED;
        TRY(act(vtpm, &note));
    }
    return OK;
}

enum status vtpm_notes_settle(void *user, sqlite3 *db)
{
    struct vtpm *vtpm = user;
    struct vtpm_state states[VTPM_KINDS];
    memcpy(states, vtpm->states, sizeof states);
    memset(vtpm->states, 0, sizeof vtpm->states);
    vtpm->ahead = false;
    enum status status = vtpm_pieces_load(vtpm, db);
    for (int kind = 0; kind < VTPM_KINDS; kind++) {
        if (status == OK)
            status = vtpm_pieces_put(vtpm, (enum vtpm_kind)kind, bytes_from(states[kind].data, states[kind].len));
        vtpm_state_shorten(&states[kind], 0);
    }
    return status;
}
