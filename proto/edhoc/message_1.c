/* Message 1 (RFC 9528 §5.2): ( METHOD, SUITES_I, G_X, C_I, ? EAD_1 ). */
#include "edhoc_internal.h"

#include <string.h>

static size_t position(const struct edhoc_profile *profile, int64_t number)
{
    size_t at = 0;
    while (at < profile->suites_count && profile->suites[at] != number)
        at++;
    return at;
}

/* The suites we prefer to the selected one, and that one last (§5.2.2). */
static void put_suites(struct writer *writer, const struct edhoc_profile *profile, size_t selected)
{
    if (selected > 0)
        cbor_put_array(writer, selected + 1);
    for (size_t i = 0; i <= selected; i++)
        cbor_put_int(writer, profile->suites[i]);
}

enum status edhoc_put_message_1(struct edhoc_session *session, const struct edhoc_profile *profile, unsigned method,
                                const struct edhoc_suite *suite, struct crypto_key *ephemeral,
                                const struct edhoc_id *c_i, const struct edhoc_eads *eads, struct writer *message)
{
    size_t selected = suite ? position(profile, suite->number) : profile->suites_count;
    struct writer out = *message;
    if (session->state != EDHOC_START)
        return WRONG_STATE;
    *session =
        (struct edhoc_session){.profile = profile, .suite = suite, .method = method, .c_i = *c_i, .initiator = true};
    session_give_ephemeral(session, ephemeral);
    if (selected == profile->suites_count || method > 3 || !(profile->methods >> method & 1) ||
        session->ephemeral.public_key.curve != suite->exchange || c_i->len > EDHOC_ID_MAX)
        return session_step(session, UNSUPPORTED, EDHOC_FAILED);
    cbor_put_uint(&out, method);
    put_suites(&out, profile, selected);
    cbor_put_bytes(&out, crypto_public_x(&session->ephemeral.public_key));
    edhoc_put_id(&out, id_bytes(c_i));
    put_eads(&out, eads);
    enum status status = writer_end(&out);
    struct bytes made = bytes_slice(writer_bytes(&out), message->len, out.len - message->len);
    if (status == OK)
        status = crypto_hash(suite->hash, &made, 1, session->th);
    return session_sent(session, status, EDHOC_SENT_1, &out, message);
}

static void take_suites(struct reader *reader, int64_t suites[EDHOC_SUITES_MAX], size_t *count)
{
    *count = 1;
    if (cbor_peek_type(reader) == CBOR_ARRAY) {
        *count = cbor_take_array(reader);
        if (*count < 2)
            reader_fail(reader, MALFORMED);
        if (*count > EDHOC_SUITES_MAX)
            reader_fail(reader, NO_ROOM);
    }
    for (size_t i = 0; i < *count && reader->status == OK; i++)
        suites[i] = cbor_take_int(reader);
}

/* The one selected is ours, and none is that the initiator prefers to it (§5.2.3). */
static const struct edhoc_suite *accept_suite(const struct edhoc_profile *profile, const int64_t *suites, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++)
        if (position(profile, suites[i]) < profile->suites_count)
            return NULL;
    return position(profile, suites[count - 1]) < profile->suites_count ? edhoc_suite(suites[count - 1]) : NULL;
}

static enum status take_message_1(struct edhoc_session *session, struct bytes message, struct edhoc_eads *eads)
{
    struct reader reader = reader_over(message);
    int64_t suites[EDHOC_SUITES_MAX];
    size_t count;
    uint8_t byte[1];
    uint64_t method = cbor_take_uint(&reader);
    take_suites(&reader, suites, &count);
    struct bytes g_x = cbor_take_bytes(&reader);
    struct bytes c_i = edhoc_take_id(&reader, byte);
    TRY(reader.status);
    if (message.len > EDHOC_MESSAGE_MAX || c_i.len > EDHOC_ID_MAX)
        return NO_ROOM;
    session->suite = accept_suite(session->profile, suites, count);
    session->wrong_suite = session->suite == NULL;
    if (session->wrong_suite || method > 3 || !(session->profile->methods >> method & 1))
        return UNSUPPORTED;
    session->method = (unsigned)method;
    TRY(take_ephemeral(session, g_x));
    TRY(take_eads(&reader, session->profile, eads));
    session->c_i.len = c_i.len;
    if (c_i.len)
        memcpy(session->c_i.data, c_i.data, c_i.len);
    return crypto_hash(session->suite->hash, &message, 1, session->th);
}

enum status edhoc_take_message_1(struct edhoc_session *session, const struct edhoc_profile *profile,
                                 struct bytes message, struct edhoc_eads *eads)
{
    if (session->state != EDHOC_START)
        return WRONG_STATE;
    *session = (struct edhoc_session){.profile = profile};
    enum status status = take_message_1(session, message, eads);
    bool wrong_suite = session->wrong_suite;
    status = session_step(session, status, EDHOC_READ_1);
    session->wrong_suite = wrong_suite;
    return status;
}
