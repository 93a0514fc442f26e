/* Sessions of both roles, and Appendix B.2 by which they begin. */
#include "cbor.h"
#include "oscore_internal.h"

#include <string.h>

#define WRAPPED_MAX (2 * OSCORE_PART_LEN + 1) /* R2 || R3 with its head */

enum status oscore_session_init(struct oscore_session *session, enum oscore_role role, const struct oscore_input *input)
{
    uint8_t room[OSCORE_INPUT_MAX];
    struct writer check = writer_over(room, sizeof room);
    oscore_put_input(&check, input); /* refuses what is out of range */
    enum status status = writer_end(&check);
    wipe(room, sizeof room);
    TRY(status);
    *session = (struct oscore_session){.role = role, .input = *input};
    return OK;
}

void oscore_session_restart(struct oscore_session *session)
{
    oscore_context_done(&session->current);
    oscore_context_done(&session->begun);
    session->has_r1 = session->has_r2 = false;
}

void oscore_session_done(struct oscore_session *session)
{
    oscore_session_restart(session);
    wipe(session, sizeof *session);
}

enum status oscore_session_fix(struct oscore_session *session, const struct bytes *id_context, uint64_t sequence)
{
    struct oscore_context context;
    TRY(oscore_context_init(&context, &session->input, id_context, sequence));
    oscore_session_restart(session);
    session->current = context;
    return OK;
}

enum status oscore_session_agree(struct oscore_session *session, enum oscore_role role,
                                 const struct oscore_input *input)
{
    struct oscore_session made = {.role = role, .input = *input, .agreed = true};
    enum status status = oscore_input_is_good(input) ? oscore_session_fix(&made, NULL, 0) : MALFORMED;
    if (status == OK)
        *session = made;
    wipe(&made, sizeof made);
    return status;
}

static struct bytes id_of(const struct oscore_id *id)
{
    return bytes_from(id->data, id->len);
}

static bool is_there(const struct oscore_context *context)
{
    return context->sender.alg != 0;
}

static bool is_worn(const struct oscore_session *session, const struct oscore_context *context)
{
    return crypto_aead_tag_len(session->input.aead) == 8 && context->failures >= OSCORE_CCM8_FAILURES;
}

static enum status next_piv(struct oscore_session *session, struct oscore_context *context,
                            struct oscore_option *option, uint8_t piv[OSCORE_PIV_MAX])
{
    if (context->sequence > OSCORE_SEQUENCE_MAX)
        return WRONG_STATE;
    if (session->used)
        session->used(session->user, oscore_id_context(context), context->sequence);
    option->partial_iv = context->sequence++;
    option->partial_iv_len = oscore_piv(option->partial_iv, piv);
    return OK;
}

static enum status open_message(struct oscore_session *session, struct oscore_context *context, struct bytes nonce_id,
                                struct bytes nonce_piv, struct bytes kid, struct bytes piv, struct bytes sealed,
                                struct writer *plain, struct coap_body *message)
{
    uint8_t nonce[CRYPTO_AEAD_NONCE_MAX], aad[OSCORE_AAD_MAX];
    oscore_nonce(context, session->input.aead, nonce_id, nonce_piv, nonce);
    return oscore_open(context, session->input.aead, bytes_from(nonce, crypto_aead_nonce_len(session->input.aead)),
                       oscore_aad(session->input.aead, kid, piv, aad), sealed, plain, message);
}

static struct bytes joined(const uint8_t part[OSCORE_PART_LEN], struct bytes rest, uint8_t room[OSCORE_CONTEXT_MAX])
{
    memcpy(room, part, OSCORE_PART_LEN);
    memcpy(room + OSCORE_PART_LEN, rest.data, rest.len);
    return bytes_from(room, OSCORE_PART_LEN + rest.len);
}

/* Appendix B.2 sends its ID Contexts, and R2, as a CBOR byte string in the kid context. */
static struct bytes wrapped(struct bytes id, uint8_t room[WRAPPED_MAX])
{
    struct writer writer = writer_over(room, WRAPPED_MAX);
    cbor_put_bytes(&writer, id);
    return writer_bytes(&writer);
}

static enum status unwrap(struct bytes kid_context, struct bytes *id)
{
    struct reader reader = reader_over(kid_context);
    struct bytes got = cbor_take_bytes(&reader);
    if (reader_end(&reader) != OK)
        return MALFORMED;
    *id = got;
    return OK;
}

static void count_failure(struct oscore_context *context)
{
    if (context->failures < OSCORE_CCM8_FAILURES)
        context->failures++;
}

/* ---- Client ---- */

/* The context a request goes under: the proved one, else the begun one: R1, and after response #1 R2 || R3. */
static enum status client_context(struct oscore_session *session, const uint8_t random[OSCORE_PART_LEN],
                                  struct oscore_context **context)
{
    if (is_there(&session->current)) {
        *context = &session->current;
        return OK;
    }
    if (session->agreed)
        return WRONG_STATE;
    if (!is_there(&session->begun)) {
        uint8_t room[OSCORE_CONTEXT_MAX];
        struct bytes id = bytes_from(random, OSCORE_PART_LEN);
        if (session->has_r2)
            id = joined(session->r2, id, room);
        TRY(oscore_context_init(&session->begun, &session->input, &id, 0));
        if (!session->has_r2)
            memcpy(session->r1, random, OSCORE_PART_LEN);
        session->has_r1 = true;
    }
    *context = &session->begun;
    return OK;
}

enum status oscore_protect_request(struct oscore_session *session, const struct coap_body *message,
                                   const uint8_t random[OSCORE_PART_LEN], struct oscore_request *request,
                                   struct writer *outer)
{
    struct oscore_context *context;
    struct oscore_request got = {0};
    uint8_t id_room[WRAPPED_MAX], nonce[CRYPTO_AEAD_NONCE_MAX], aad[OSCORE_AAD_MAX];
    uint32_t observe = 1;
    TRY(client_context(session, random, &context));
    if (is_worn(session, context))
        return WRONG_STATE;
    struct bytes kid = id_of(&session->input.sender);
    struct oscore_option option = {.has_kid = true, .kid = kid, .has_kid_context = context == &session->begun};
    if (option.has_kid_context)
        option.kid_context =
            session->has_r1 ? wrapped(oscore_id_context(context), id_room) : oscore_id_context(context);
    TRY(next_piv(session, context, &option, got.partial_iv));
    got.partial_iv_len = option.partial_iv_len;
    memcpy(got.kid, session->input.sender.data, OSCORE_ID_MAX);
    got.kid_len = kid.len;
    memcpy(got.id_context, context->id_context, sizeof got.id_context);
    got.id_context_len = context->id_context_len;
    bool observing = coap_option_find_uint(message->options, COAP_OBSERVE, &observe) == OK;
    got.observe = observing && observe == 0;
    struct bytes piv = bytes_from(got.partial_iv, got.partial_iv_len);
    oscore_nonce(context, session->input.aead, kid, piv, nonce);
    TRY(oscore_seal(context, observing ? COAP_FETCH : COAP_POST, &option, message, false,
                    bytes_from(nonce, crypto_aead_nonce_len(session->input.aead)),
                    oscore_aad(session->input.aead, kid, piv, aad), outer));
    *request = got;
    return OK;
}

/* Response #1: under R2 || the request's context, which only a holder of the master secret can make. */
static enum status take_challenge(struct oscore_session *session, struct oscore_context *first,
                                  const struct oscore_request *request, const struct oscore_option *option,
                                  const struct coap_body *outer, struct writer *plain)
{
    struct oscore_context second;
    struct coap_body message;
    uint8_t room[OSCORE_CONTEXT_MAX];
    struct bytes r2, kid = bytes_from(request->kid, request->kid_len);
    struct bytes piv = bytes_from(request->partial_iv, request->partial_iv_len);
    TRY(unwrap(option->kid_context, &r2));
    if (r2.len != OSCORE_PART_LEN || request->id_context_len > OSCORE_CONTEXT_MAX - OSCORE_PART_LEN)
        return MALFORMED;
    struct bytes id = joined(r2.data, bytes_from(request->id_context, request->id_context_len), room);
    TRY(oscore_context_init(&second, &session->input, &id, 0));
    bool own = option->partial_iv_len > 0;
    size_t before = plain->len;
    enum status status = open_message(session, &second, own ? id_of(&session->input.recipient) : kid,
                                      own ? option->partial_iv_bytes : piv, kid, piv, outer->payload, plain, &message);
    oscore_context_done(&second);
    if (status == AUTH) /* the second context is gone at once: what it failed counts for the first */
        count_failure(first);
    TRY(status);
    plain->len = before;
    if (message.code != COAP_UNAUTHORIZED)
        return AUTH;
    oscore_session_restart(session);
    memcpy(session->r2, r2.data, OSCORE_PART_LEN);
    session->has_r2 = true;
    return BUSY;
}

enum status oscore_unprotect_response(struct oscore_session *session, struct oscore_request *request,
                                      const struct coap_body *outer, struct writer *plain, struct coap_body *message)
{
    struct bytes value;
    struct oscore_option option;
    if (!coap_option_find(outer->options, COAP_OSCORE, &value))
        return UNSUPPORTED;
    TRY(oscore_option_decode(value, &option));
    if (option.has_kid && !bytes_equal(option.kid, id_of(&session->input.recipient))) /* rare in responses (§5) */
        return AUTH;
    struct bytes made_under = bytes_from(request->id_context, request->id_context_len);
    struct oscore_context *context = oscore_context_is(&session->current, made_under) ? &session->current
                                     : oscore_context_is(&session->begun, made_under) ? &session->begun
                                                                                      : NULL;
    if (!context || is_worn(session, context)) /* a later context answers nothing of an earlier one */
        return AUTH;
    if (option.has_kid_context)
        return take_challenge(session, context, request, &option, outer, plain);
    bool own = option.partial_iv_len > 0;
    /* Notifications in their order; at most one without a Partial IV, and it is the oldest (§7.4.1). */
    if (request->observe &&
        (own ? request->notified && option.partial_iv <= request->notification : request->notified || request->bare))
        return REPLAYED;
    struct bytes kid = bytes_from(request->kid, request->kid_len);
    struct bytes piv = bytes_from(request->partial_iv, request->partial_iv_len);
    TRY(open_message(session, context, own ? id_of(&session->input.recipient) : kid,
                     own ? option.partial_iv_bytes : piv, kid, piv, outer->payload, plain, message));
    if (!own)
        request->bare = request->observe;
    else if (request->observe) {
        request->notified = true;
        request->notification = option.partial_iv;
    }
    if (context == &session->begun) { /* response #2: both sides have it */
        oscore_context_done(&session->current);
        session->current = session->begun;
        session->begun = (struct oscore_context){0};
        session->has_r1 = session->has_r2 = false;
    }
    return OK;
}

/* ---- Server ---- */

static void note_request(struct oscore_request *request, const struct oscore_context *context, struct bytes kid,
                         const struct oscore_option *option, const struct coap_body *message)
{
    uint32_t observe = 1;
    *request = (struct oscore_request){.kid_len = kid.len, .partial_iv_len = option->partial_iv_len};
    if (kid.len)
        memcpy(request->kid, kid.data, kid.len);
    memcpy(request->partial_iv, option->partial_iv_bytes.data, option->partial_iv_len);
    memcpy(request->id_context, context->id_context, sizeof request->id_context);
    request->id_context_len = context->id_context_len;
    request->observe = coap_option_find_uint(message->options, COAP_OBSERVE, &observe) == OK && observe == 0;
}

/* Response #1. R2 serves one ID1; for each further request under it the second context counts on, so no nonce of it is
 * used twice. */
static enum status put_challenge(struct oscore_session *session, struct bytes id1,
                                 const uint8_t random[OSCORE_PART_LEN], const struct oscore_option *asked,
                                 struct writer *challenge)
{
    uint8_t room[OSCORE_CONTEXT_MAX], r2_room[WRAPPED_MAX], piv_room[OSCORE_PIV_MAX], nonce[CRYPTO_AEAD_NONCE_MAX],
        aad[OSCORE_AAD_MAX];
    struct bytes begun = oscore_id_context(&session->begun);
    if (!session->has_r2 || begun.len < OSCORE_PART_LEN ||
        !bytes_equal(bytes_slice(begun, OSCORE_PART_LEN, begun.len - OSCORE_PART_LEN), id1)) {
        struct oscore_context second;
        struct bytes id = joined(random, id1, room);
        TRY(oscore_context_init(&second, &session->input, &id, 0));
        oscore_context_done(&session->begun);
        session->begun = second;
        memcpy(session->r2, random, OSCORE_PART_LEN);
        session->has_r2 = true;
    }
    const struct coap_body message = {.code = COAP_UNAUTHORIZED};
    struct oscore_option option = {.has_kid_context = true,
                                   .kid_context = wrapped(bytes_from(session->r2, OSCORE_PART_LEN), r2_room)};
    TRY(next_piv(session, &session->begun, &option, piv_room));
    oscore_nonce(&session->begun, session->input.aead, id_of(&session->input.sender),
                 bytes_from(piv_room, option.partial_iv_len), nonce);
    TRY(oscore_seal(&session->begun, COAP_CHANGED, &option, &message, true,
                    bytes_from(nonce, crypto_aead_nonce_len(session->input.aead)),
                    oscore_aad(session->input.aead, asked->kid, asked->partial_iv_bytes, aad), challenge));
    return BUSY;
}

/* A request under a context we do not have: request #2 of a run we answered, or else the beginning of one. */
static enum status begin(struct oscore_session *session, struct bytes id, const struct oscore_option *option,
                         const struct coap_body *outer, const uint8_t random[OSCORE_PART_LEN],
                         struct oscore_request *request, struct writer *plain, struct coap_body *message,
                         struct writer *challenge)
{
    struct oscore_context context;
    struct coap_body got;
    bool second = session->has_r2 && id.len == 2 * OSCORE_PART_LEN &&
                  bytes_equal(bytes_slice(id, 0, OSCORE_PART_LEN), bytes_from(session->r2, OSCORE_PART_LEN));
    /* Whoever took R1 for R3 asks for the context of response #1: its nonces are counted on, not begun again. */
    uint64_t sequence = oscore_context_is(&session->begun, id) ? session->begun.sequence : 0;
    if (id.len < OSCORE_PART_LEN || id.len > 2 * OSCORE_PART_LEN)
        return NOT_FOUND;
    TRY(oscore_context_init(&context, &session->input, &id, sequence));
    size_t before = plain->len;
    enum status status = open_message(session, &context, option->kid, option->partial_iv_bytes, option->kid,
                                      option->partial_iv_bytes, outer->payload, plain, &got);
    if (second && status == OK) {
        oscore_session_restart(session);
        session->current = context;
        oscore_window_take(&session->current, option->partial_iv);
        note_request(request, &session->current, option->kid, option, &got);
        *message = got;
        return OK;
    }
    oscore_context_done(&context);
    if (second && status == AUTH) { /* those contexts are gone at once: R2 bears what they failed */
        count_failure(&session->begun);
        if (is_worn(session, &session->begun)) {
            oscore_context_done(&session->begun);
            session->has_r2 = false;
        }
    }
    TRY(status);
    wipe(plain->data + before, plain->len - before); /* it may be a replay: nothing of it is used */
    plain->len = before;
    return put_challenge(session, id, random, option, challenge);
}

enum status oscore_unprotect_request(struct oscore_session *session, const struct coap_body *outer,
                                     const uint8_t random[OSCORE_PART_LEN], struct oscore_request *request,
                                     struct writer *plain, struct coap_body *message, struct writer *challenge)
{
    struct bytes value;
    struct oscore_option option;
    if (!coap_option_find(outer->options, COAP_OSCORE, &value))
        return NOT_FOUND;
    TRY(oscore_option_decode(value, &option));
    if (!option.has_kid || option.partial_iv_len == 0)
        return MALFORMED;
    if (!bytes_equal(option.kid, id_of(&session->input.recipient)))
        return NOT_FOUND;
    struct oscore_context *current = &session->current;
    struct bytes id;
    /* A context fixed by other means is named by its bare ID Context, one of Appendix B.2 by a byte string. */
    if (option.has_kid_context && !oscore_context_is(current, option.kid_context)) {
        if (session->agreed || unwrap(option.kid_context, &id) != OK)
            return NOT_FOUND;
        if (!oscore_context_is(current, id))
            return begin(session, id, &option, outer, random, request, plain, message, challenge);
    }
    if (is_there(current) && is_worn(session, current))
        oscore_context_done(current);
    if (!is_there(current))
        return NOT_FOUND;
    if (!oscore_window_allows(current, option.partial_iv))
        return REPLAYED;
    TRY(open_message(session, current, option.kid, option.partial_iv_bytes, option.kid, option.partial_iv_bytes,
                     outer->payload, plain, message));
    oscore_window_take(current, option.partial_iv);
    note_request(request, current, option.kid, &option, message);
    return OK;
}

enum status oscore_protect_response(struct oscore_session *session, struct oscore_request *request,
                                    const struct coap_body *message, bool own_nonce, struct writer *outer)
{
    struct oscore_context *current = &session->current;
    uint8_t piv_room[OSCORE_PIV_MAX], nonce[CRYPTO_AEAD_NONCE_MAX], aad[OSCORE_AAD_MAX];
    if (!oscore_context_is(current, bytes_from(request->id_context, request->id_context_len)))
        return WRONG_STATE;
    struct oscore_option option = {0};
    struct bytes kid = bytes_from(request->kid, request->kid_len);
    struct bytes piv = bytes_from(request->partial_iv, request->partial_iv_len);
    if (request->observe || request->answered || own_nonce) {
        TRY(next_piv(session, current, &option, piv_room));
        oscore_nonce(current, session->input.aead, id_of(&session->input.sender),
                     bytes_from(piv_room, option.partial_iv_len), nonce);
    } else {
        oscore_nonce(current, session->input.aead, kid, piv, nonce);
        request->answered = true; /* even if what follows fails: that nonce is spent */
    }
    uint32_t observe;
    uint8_t code = coap_option_find_uint(message->options, COAP_OBSERVE, &observe) == OK ? COAP_CONTENT : COAP_CHANGED;
    return oscore_seal(current, code, &option, message, true,
                       bytes_from(nonce, crypto_aead_nonce_len(session->input.aead)),
                       oscore_aad(session->input.aead, kid, piv, aad), outer);
}
