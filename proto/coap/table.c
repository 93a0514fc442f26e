/* The machine's tools, each usable alone: a keyed hash, a map from hash to position, a heap of deadlines, and messages
 * whose options differ a little from given ones. */
#include "coap_internal.h"

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t coap_hash(const uint64_t key[2], uint64_t tweak, struct bytes input)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    struct reader reader = reader_over(input);
    sip_word(v, tweak);
    while (reader.rest.len >= 8)
        sip_word(v, take_u64le(&reader));
    uint64_t last = (uint64_t)(input.len + 8) << 56;
    for (unsigned shift = 0; reader.rest.len; shift += 8)
        last |= (uint64_t)take_u8(&reader) << shift;
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
    return hash ? hash : 1; /* 0 marks a free place in the index */
}

/* Where that hash is, or the free place where it would go. The index is never more than half full. */
static uint32_t index_place(const struct coap_index *index, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & index->mask;
    while (index->hashes[at] != 0 && index->hashes[at] != hash)
        at = (at + 1) & index->mask;
    return at;
}

uint32_t coap_index_find(const struct coap_index *index, uint64_t hash)
{
    uint32_t at = index_place(index, hash);
    return index->hashes[at] ? index->values[at] : NONE;
}

void coap_index_put(struct coap_index *index, uint64_t hash, uint32_t value)
{
    uint32_t at = index_place(index, hash);
    index->hashes[at] = hash;
    index->values[at] = value;
}

/* Later entries of the same run move up, so that no search ends at the gap before them. */
void coap_index_remove(struct coap_index *index, uint64_t hash)
{
    uint32_t gap = index_place(index, hash);
    if (index->hashes[gap] == 0)
        return;
    uint32_t at = gap;
    for (;;) {
        at = (at + 1) & index->mask;
        if (index->hashes[at] == 0)
            break;
        uint32_t home = (uint32_t)index->hashes[at] & index->mask;
        if (((at - home) & index->mask) < ((at - gap) & index->mask))
            continue; /* its home lies after the gap */
        index->hashes[gap] = index->hashes[at];
        index->values[gap] = index->values[at];
        gap = at;
    }
    index->hashes[gap] = 0;
}

static void heap_store(struct coap_timers *timers, uint32_t place, uint32_t exchange)
{
    timers->order[place] = exchange;
    timers->place[exchange] = place;
}

static void heap_up(struct coap_timers *timers, uint32_t place, uint32_t exchange)
{
    while (place > 0) {
        uint32_t parent = (place - 1) / 2;
        if (timers->due[timers->order[parent]] <= timers->due[exchange])
            break;
        heap_store(timers, place, timers->order[parent]);
        place = parent;
    }
    heap_store(timers, place, exchange);
}

static void heap_down(struct coap_timers *timers, uint32_t place, uint32_t exchange)
{
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && timers->due[timers->order[child + 1]] < timers->due[timers->order[child]])
            child++;
        if (timers->due[timers->order[child]] >= timers->due[exchange])
            break;
        heap_store(timers, place, timers->order[child]);
        place = child;
    }
    heap_store(timers, place, exchange);
}

void coap_timer_set(struct coap_timers *timers, uint32_t exchange, uint64_t due_ms)
{
    uint32_t place = timers->place[exchange];
    if (due_ms == COAP_NEVER) {
        if (place == NONE)
            return;
        timers->place[exchange] = NONE;
        uint32_t last = timers->order[--timers->count];
        if (last == exchange)
            return;
        heap_up(timers, place, last);
        heap_down(timers, timers->place[last], last);
        return;
    }
    timers->due[exchange] = due_ms;
    if (place == NONE)
        place = timers->count++;
    heap_up(timers, place, exchange);
    heap_down(timers, timers->place[exchange], exchange);
}

void coap_splice_drop(struct coap_splice *splice, uint16_t number)
{
    splice->drop[splice->drop_count++] = number;
}

void coap_splice_add(struct coap_splice *splice, uint16_t number, uint32_t value)
{
    splice->add[splice->add_count].number = number;
    splice->add[splice->add_count].value = value;
    splice->add_count++;
}

static bool is_left_out(const struct coap_splice *splice, uint16_t number)
{
    for (size_t i = 0; i < splice->drop_count; i++)
        if (splice->drop[i] == number)
            return true;
    for (size_t i = 0; i < splice->add_count; i++)
        if (splice->add[i].number == number)
            return true;
    return false;
}

void coap_put_spliced(struct writer *writer, struct bytes options, const struct coap_splice *splice)
{
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option_writer to = coap_options_to(writer);
    struct coap_option option;
    size_t added = 0;
    while (coap_option_next(&reader, &option)) {
        for (; added < splice->add_count && splice->add[added].number <= option.number; added++)
            coap_put_option_uint(&to, splice->add[added].number, splice->add[added].value);
        if (!is_left_out(splice, option.number))
            coap_put_option(&to, option.number, option.value);
    }
    if (coap_options_end(&reader) != OK)
        writer_fail(writer, MALFORMED);
    for (; added < splice->add_count; added++)
        coap_put_option_uint(&to, splice->add[added].number, splice->add[added].value);
}

void coap_encode_spliced(struct writer *writer, const struct coap_message *message, const struct coap_splice *splice)
{
    uint8_t spliced[COAP_DATAGRAM_MAX];
    struct writer options = writer_over(spliced, sizeof spliced);
    struct coap_message whole = *message;
    coap_put_spliced(&options, message->body.options, splice);
    writer_fail(writer, writer_end(&options));
    whole.body.options = writer_bytes(&options);
    coap_message_encode(writer, &whole);
}
