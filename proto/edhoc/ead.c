/* EAD items (RFC 9528 §3.8). */
#include "edhoc_internal.h"

const struct edhoc_ead *edhoc_find_ead(const struct edhoc_eads *eads, uint32_t label)
{
    for (size_t i = 0; i < eads->count; i++)
        if (eads->items[i].label == label)
            return &eads->items[i];
    return NULL;
}

void put_eads(struct writer *writer, const struct edhoc_eads *eads)
{
    if (eads && eads->count > EDHOC_EADS_MAX) {
        writer_fail(writer, NO_ROOM);
        return;
    }
    for (size_t i = 0; eads && i < eads->count; i++) {
        const struct edhoc_ead *ead = &eads->items[i];
        if (ead->label == 0 && ead->critical)
            writer_fail(writer, MALFORMED);
        cbor_put_int(writer, ead->critical ? -(int64_t)ead->label : (int64_t)ead->label);
        if (ead->has_value)
            cbor_put_bytes(writer, ead->value);
    }
}

static size_t head_len(size_t value)
{
    uint8_t room[9];
    struct writer head = writer_over(room, sizeof room);
    cbor_put_bytes_head(&head, value);
    return head.len;
}

size_t eads_len(const struct edhoc_eads *eads)
{
    size_t len = 0;
    for (size_t i = 0; eads && i < eads->count && i < EDHOC_EADS_MAX; i++) {
        const struct edhoc_ead *ead = &eads->items[i];
        len += head_len(ead->critical ? ead->label - 1 : ead->label);
        len += ead->has_value ? head_len(ead->value.len) + ead->value.len : 0;
    }
    return len;
}

static bool known(const struct edhoc_profile *profile, uint32_t label)
{
    for (size_t i = 0; i < profile->ead_labels_count; i++)
        if (profile->ead_labels[i] == label)
            return true;
    return false;
}

enum status take_eads(struct reader *reader, const struct edhoc_profile *profile, struct edhoc_eads *eads)
{
    struct edhoc_eads got = {0};
    while (reader->status == OK && reader->rest.len) {
        int64_t label = cbor_take_int(reader);
        struct edhoc_ead ead = {.critical = label < 0};
        if (label > UINT32_MAX || label < -(int64_t)UINT32_MAX)
            return MALFORMED;
        ead.label = (uint32_t)(label < 0 ? -label : label);
        ead.has_value = cbor_peek_type(reader) == CBOR_BYTES;
        if (ead.has_value)
            ead.value = cbor_take_bytes(reader);
        if (ead.critical && !known(profile, ead.label))
            reader_fail(reader, UNSUPPORTED);
        if (ead.label == 0)
            continue;
        if (got.count == EDHOC_EADS_MAX)
            return NO_ROOM;
        got.items[got.count++] = ead;
    }
    TRY(reader_end(reader));
    *eads = got;
    return OK;
}
