/* Walking what holds other items: maps key by key, and whole items to pass over them or to keep them as they are. */
#include "cbor_internal.h"

struct cbor_map_walk cbor_walk_map(struct reader *reader)
{
    return (struct cbor_map_walk){.left = cbor_take_map(reader), .number = CBOR_NO_NUMBER};
}

/* What was taken since the reader stood at `before`. */
static struct bytes taken_since(struct bytes before, const struct reader *reader)
{
    return bytes_slice(before, 0, before.len - reader->rest.len);
}

bool cbor_next_key(struct reader *reader, struct cbor_map_walk *walk)
{
    if (walk->left == 0 || reader->status != OK)
        return false;
    struct bytes before = reader->rest;
    struct cbor_map_walk next = {.left = walk->left - 1, .number = CBOR_NO_NUMBER};
    if (cbor_peek_type(reader) == CBOR_TEXT)
        next.text = cbor_take_text(reader);
    else if ((next.number = cbor_take_int(reader)) == CBOR_NO_NUMBER)
        reader_fail(reader, UNSUPPORTED);
    next.last = taken_since(before, reader);
    if (reader->status == OK && walk->last.len && bytes_compare(walk->last, next.last) >= 0)
        reader_fail(reader, MALFORMED);
    if (reader->status != OK)
        return false;
    *walk = next;
    return true;
}

int64_t cbor_key_number(const struct cbor_map_walk *walk)
{
    return walk->number;
}

bool cbor_key_is(const struct cbor_map_walk *walk, const char *text)
{
    return walk->number == CBOR_NO_NUMBER && bytes_equal(walk->text, bytes_from_text(text));
}

/* One array, map or tag being passed over: how many items it still waits for, and for a map its keys so far. */
struct level {
    size_t left;
    bool map;
    struct bytes key_start; /* the input from the present key on */
    struct bytes last_key;
};

struct pass {
    struct level levels[CBOR_DEPTH_MAX];
    size_t depth;
};

static void open_level(struct reader *reader, struct pass *pass, size_t items, bool map)
{
    if (items == 0 || reader->status != OK)
        return;
    if (pass->depth == CBOR_DEPTH_MAX) {
        reader_fail(reader, UNSUPPORTED);
        return;
    }
    pass->levels[pass->depth++] = (struct level){.left = items, .map = map};
}

/* Takes one head and, of a string, its content. True when the item is whole. */
static bool pass_item(struct reader *reader, struct pass *pass)
{
    size_t depth = pass->depth;
    switch (cbor_peek_type(reader)) {
    case CBOR_UINT:
        (void)cbor_take_uint(reader);
        break;
    case CBOR_NINT:
    case CBOR_SIMPLE:
    case CBOR_BOOL:
    case CBOR_NULL:
    case CBOR_UNDEFINED:
        if (!cbor_take_head(reader).shortest)
            reader_fail(reader, MALFORMED);
        break;
    case CBOR_BYTES:
        (void)cbor_take_bytes(reader);
        break;
    case CBOR_TEXT:
        (void)cbor_take_text(reader);
        break;
    case CBOR_FLOAT:
        (void)cbor_take_double(reader);
        break;
    case CBOR_ARRAY:
        open_level(reader, pass, cbor_take_array(reader), false);
        break;
    case CBOR_MAP:
        open_level(reader, pass, 2 * cbor_take_map(reader), true);
        break;
    case CBOR_TAG:
        (void)cbor_take_tag(reader);
        open_level(reader, pass, 1, false);
        break;
    case CBOR_NONE:
        reader_fail(reader, reader->rest.len ? MALFORMED : TRUNCATED);
    }
    return pass->depth == depth;
}

/* An item inside `level` is whole: a key is held against the one before it (RFC 8949 §4.2.1). */
static void finish_item(struct reader *reader, struct level *level)
{
    if (level->map && level->left % 2 == 0) {
        struct bytes key = taken_since(level->key_start, reader);
        if (level->last_key.len && bytes_compare(level->last_key, key) >= 0)
            reader_fail(reader, MALFORMED);
        level->last_key = key;
    }
    level->left--;
}

struct bytes cbor_take_item(struct reader *reader)
{
    struct bytes before = reader->rest;
    struct pass pass;
    pass.depth = 0;
    bool whole = false;
    while (reader->status == OK && !whole) {
        if (pass.depth && pass.levels[pass.depth - 1].left % 2 == 0)
            pass.levels[pass.depth - 1].key_start = reader->rest;
        if (!pass_item(reader, &pass))
            continue;
        whole = true;
        while (reader->status == OK && pass.depth && whole) {
            struct level *level = &pass.levels[pass.depth - 1];
            finish_item(reader, level);
            whole = level->left == 0;
            pass.depth -= whole;
        }
    }
    return reader->status == OK ? taken_since(before, reader) : (struct bytes){0};
}

void cbor_skip(struct reader *reader)
{
    (void)cbor_take_item(reader);
}
