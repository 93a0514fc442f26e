/* Walks over a host's answers: every row that comes out is one that went in, at its place; all else is a named problem.
 */
#include "../store_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS 12

static struct rig rig;
static struct bytes rows[ROWS]; /* rows[i] has sequence i + 1 and message byte i + 1 */

static void must(bool held)
{
    if (!held)
        abort();
}

static void prepare(void)
{
    static const char *const names[] = {"a", "b", "c"};
    must(crypto_init() == OK);
    rig = rig_new(1);
    must(rig_start(&rig) == OK);
    for (uint64_t i = 1; i <= ROWS; i++) {
        uint8_t room[256], text = (uint8_t)i;
        struct writer out = writer_over(room, sizeof room);
        const struct store_message message = {.sequence = i,
                                              .source = bytes_from_text(names[i % 3]),
                                              .type = bytes_from_text(names[i % 2]),
                                              .message = bytes_from(&text, 1)};
        must(store_row_seal(rig.store, &message, &out) == OK);
        rows[i - 1] = rig_copy(writer_bytes(&out));
    }
    must(rig_commit(&rig) == OK);
}

/* Rows picked by the input, some of them bent, then raw bytes. */
static struct bytes make_answer(struct reader *input, uint8_t *room, size_t cap)
{
    struct writer out = writer_over(room, cap);
    for (unsigned count = take_u8(input) % 16; count > 0; count--) {
        size_t at = out.len;
        struct bytes row = rows[take_u8(input) % ROWS];
        put_bytes(&out, row);
        if (take_u8(input) % 4 == 3)
            room[at + take_u8(input) % row.len] ^= take_u8(input);
    }
    put_bytes(&out, take_rest(input));
    return writer_bytes(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t answer[64 * 1024], text[STORE_MESSAGE_MAX + 32];
    if (!rig.store)
        prepare();
    struct reader input = reader_over(bytes_from(data, size));
    struct store_walk walk;
    enum door_query_by by = (enum door_query_by)(take_u8(&input) % 3);
    uint64_t from = take_u8(&input) % (ROWS + 1);
    if (store_walk_begin(rig.store, &walk, by, bytes_from_text("a"), from) != OK)
        return 0;
    must(store_walk_query(&walk, 99).before == walk.next + 1);
    struct reader reader = reader_over(make_answer(&input, answer, sizeof answer));
    struct writer room = writer_over(text, sizeof text);
    struct store_row row;
    uint64_t expected = walk.next;
    enum status status;
    while ((status = store_walk_row(rig.store, &walk, &reader, &room, &row)) == OK) {
        must(row.sequence == expected && row.message.len == 1 && row.message.data[0] == row.sequence);
        must(walk.next < expected);
        expected = walk.next;
    }
    must(status == NOT_FOUND || (status == DENIED && walk.problem != STORE_WALK_FINE && walk.next == expected));
    must(status != NOT_FOUND || walk.answered || expected == 0);
    return 0;
}
