/* EDHOC from anyone: message 1 as it arrives; plaintexts 2 and 3 and message 4, encrypted as a peer would; and whole
 * handshakes with identifiers, kids and items of the input's choosing, undisturbed and with one bit changed. What is
 * accepted is written again and is the same. */
#include "edhoc_eads_fuzz.h"

/* ---- Two sides with fixed keys ---- */

static const uint8_t scalars[4][32] = {
    {1, 2}, {3, 4}, {5, 6}, {7, 8}}; /* ephemeral, ephemeral, initiator's, responder's */
static struct crypto_key owns[2];
static struct edhoc_session agreed[2]; /* with signatures and with static keys: TH_2 and PRK_2e of message 1 below */
static uint8_t message_1_room[64];
static struct writer message_1;

static struct crypto_key ephemeral(size_t which)
{
    struct crypto_key key = {0};
    hold(crypto_key_import(&key, CRYPTO_P256, bytes_from(scalars[which], 32)) == OK);
    return key;
}

static struct edhoc_session initiator(unsigned method)
{
    static const struct edhoc_id c_i = {{0x0a}, 1};
    struct edhoc_session session = {0};
    struct crypto_key x = ephemeral(0);
    message_1 = writer_over(message_1_room, sizeof message_1_room);
    hold(edhoc_put_message_1(&session, &profile, method, edhoc_suite(2), &x, &c_i, NULL, &message_1) == OK);
    return session;
}

static void prepare(void)
{
    if (agreed[0].suite)
        return;
    hold(crypto_init() == OK);
    owns[0] = ephemeral(2);
    owns[1] = ephemeral(3);
    for (size_t n = 0; n < 2; n++) {
        struct crypto_key y = ephemeral(1);
        agreed[n] = initiator(n ? 3 : 0);
        hold(take_ephemeral(&agreed[n], crypto_public_x(&y.public_key)) == OK);
        hold(agree(&agreed[n], crypto_public_x(&y.public_key)) == OK);
        crypto_key_done(&y);
        crypto_key_done(&agreed[n].ephemeral);
    }
}

static void hold_reference(const struct edhoc_reference *reference)
{
    static uint8_t room[ROOM];
    struct writer writer = writer_over(room, sizeof room);
    struct edhoc_reference again;
    switch (reference->kind) {
    case EDHOC_KID:
        edhoc_put_kid(&writer, reference->kid);
        break;
    case EDHOC_KCCS:
        edhoc_put_kccs(&writer, reference->claims);
        break;
    case EDHOC_X5CHAIN:
        edhoc_put_x5chain(&writer, reference->certificates, reference->certificates_count);
        hold(edhoc_reference_is(reference, reference->certificates[0]));
        break;
    case EDHOC_X5T:
        (void)edhoc_reference_is(reference, reference->encoded);
        return;
    case EDHOC_NONE:
    case EDHOC_OTHER:
        return;
    }
    hold(bytes_equal(writer_bytes(&writer), reference->encoded));
    hold(reference_decode(reference->encoded, &again) == OK && again.kind == reference->kind);
}

/* ---- Messages ---- */

static void hold_failed(struct edhoc_session *session)
{
    static const struct edhoc_session none;
    hold(session->state == EDHOC_FAILED && !session->ephemeral.pkey);
    hold(memcmp(&session->prk, &none.prk, sizeof none.prk) == 0 && session->suite == NULL);
}

static void try_message_1(struct bytes input)
{
    struct edhoc_session session = {0};
    struct edhoc_eads eads;
    if (edhoc_take_message_1(&session, &profile, input, &eads) != OK) {
        hold_failed(&session);
        return;
    }
    hold(session.method < 4 && session.c_i.len <= EDHOC_ID_MAX && session.peer.curve == session.suite->exchange);
    hold_eads(&eads, input);
    uint8_t hash[CRYPTO_HASH_MAX];
    hold(crypto_hash(session.suite->hash, &input, 1, hash) == OK);
    hold(bytes_equal(session_th(&session), bytes_from(hash, session_hash_len(&session))));
    edhoc_done(&session);
}

/* A plaintext that was taken is what its parts are written as. */
static void hold_plaintext(const struct edhoc_session *session, struct bytes c_r, struct bytes plaintext,
                           const struct edhoc_reference *reference, const struct edhoc_eads *eads)
{
    static uint8_t room[ROOM];
    uint8_t compact[EDHOC_KID_MAX + 2];
    struct writer writer = writer_over(room, sizeof room);
    hold(session->bad == (reference->kind == EDHOC_NONE));
    if (session->bad) {
        hold(eads->count == 0);
        return;
    }
    hold_reference(reference);
    hold_eads(eads, session->eads);
    put_bytes(&writer, c_r);
    put_bytes(&writer, compact_id_cred(reference->encoded, compact));
    cbor_put_bytes(&writer, session->proof);
    put_bytes(&writer, session->eads);
    hold(bytes_equal(writer_bytes(&writer), plaintext));
}

/* Through decoding alone, many times as fast as a whole step. */
static void try_plaintext_2(struct bytes input)
{
    uint8_t c_r_room[EDHOC_ID_MAX + 1], byte[1];
    struct writer c_r = writer_over(c_r_room, sizeof c_r_room);
    struct edhoc_session session = agreed[0];
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    struct reader reader = reader_over(input);
    struct bytes taken = edhoc_take_id(&reader, byte);
    take_plaintext(&session, &reader, &reference, &eads);
    if (taken.len > EDHOC_ID_MAX)
        return;
    edhoc_put_id(&c_r, taken);
    hold_plaintext(&session, writer_bytes(&c_r), input, &reference, &eads);
}

static void try_message_2(struct bytes input)
{
    static uint8_t room[ROOM], plain_room[ROOM];
    uint8_t c_r_room[EDHOC_ID_MAX + 1];
    struct writer message = writer_over(room, sizeof room), plain = writer_over(plain_room, sizeof plain_room);
    struct writer c_r = writer_over(c_r_room, sizeof c_r_room);
    const struct edhoc_session *keys = &agreed[input.len & 1];
    struct edhoc_session session = initiator(keys->method);
    const struct edhoc_credential credential = {.value = BYTES_OF("\xa0"), .key = owns[1].public_key};
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    cbor_put_bytes_head(&message, 32 + input.len);
    put_bytes(&message, crypto_public_x(&keys->peer));
    uint8_t *text = message.data + message.len;
    put_bytes(&message, input);
    hold(keystream_2(keys, &keys->prk, text, input.len) == OK);
    hold(edhoc_take_message_2(&session, writer_bytes(&message), &plain, &reference, &eads) == OK);
    hold(bytes_equal(writer_bytes(&plain), input));
    edhoc_put_id(&c_r, id_bytes(&session.c_r));
    hold_plaintext(&session, writer_bytes(&c_r), input, &reference, &eads);
    hold(edhoc_verify_message_2(&session, input.len & 2 ? &credential : NULL) == AUTH);
    hold_failed(&session);
}

static void try_plaintext_3(struct bytes input, bool message_4)
{
    static uint8_t room[ROOM], plain_room[ROOM];
    struct writer message = writer_over(room, sizeof room), plain = writer_over(plain_room, sizeof plain_room);
    struct edhoc_session session = agreed[0];
    struct edhoc_reference reference;
    struct edhoc_eads eads;
    cbor_put_bytes_head(&message, input.len + crypto_aead_tag_len(session.suite->aead));
    put_bytes(&message, input);
    struct bytes text = bytes_from(message.data + message.len - input.len, input.len);
    hold(seal_message(&session, &session.prk, message_4 ? 8 : 3, text, &message) == OK);
    session.state = message_4 ? EDHOC_SENT_3 : EDHOC_SENT_2;
    if (message_4) {
        enum status status = edhoc_take_message_4(&session, writer_bytes(&message), &plain, &eads);
        if (status == OK)
            hold_eads(&eads, input);
        else
            hold(plain.len == 0);
        hold(session.state == (status == OK ? EDHOC_COMPLETED : EDHOC_FAILED));
        return;
    }
    hold(edhoc_take_message_3(&session, writer_bytes(&message), &plain, &reference, &eads) == OK);
    hold(bytes_equal(writer_bytes(&plain), input));
    hold_plaintext(&session, (struct bytes){0}, input, &reference, &eads);
    hold(edhoc_verify_message_3(&session, NULL) == AUTH);
    hold_failed(&session);
}

/* ---- Whole handshakes ---- */

struct choice {
    unsigned method;
    size_t changed_message, bit; /* 4: none */
    struct edhoc_id c_i, c_r;
    struct bytes kid;
    struct edhoc_eads eads;
};

static struct edhoc_id take_id(struct reader *reader)
{
    struct edhoc_id id = {.len = take_u8(reader) % (EDHOC_ID_MAX + 1)};
    struct bytes bytes = take_bytes(reader, id.len);
    id.len = bytes.len;
    if (bytes.len)
        memcpy(id.data, bytes.data, bytes.len);
    return id;
}

static struct choice take_choice(struct bytes input)
{
    struct reader reader = reader_over(input);
    struct choice choice = {.method = take_u8(&reader) % 4, .changed_message = take_u8(&reader) % 5};
    choice.bit = take_u16be(&reader);
    choice.c_i = take_id(&reader);
    choice.c_r = take_id(&reader);
    choice.kid = take_bytes(&reader, take_u8(&reader) % (EDHOC_KID_MAX + 1));
    choice.eads.count = take_u8(&reader) % (EDHOC_EADS_MAX + 1);
    for (size_t i = 0; i < choice.eads.count; i++) {
        uint8_t form = take_u8(&reader);
        struct edhoc_ead *ead = &choice.eads.items[i];
        *ead = (struct edhoc_ead){.label = labels[form % 4], .critical = form & 4, .has_value = form & 8};
        if (ead->has_value)
            ead->value = take_bytes(&reader, take_u8(&reader));
    }
    return choice;
}

static void change(const struct choice *choice, size_t number, const struct writer *message)
{
    if (choice->changed_message == number)
        message->data[choice->bit / 8 % message->len] ^= (uint8_t)(1u << choice->bit % 8);
}

/* OK, or where it ended. Everything before the changed message goes well. */
static enum status shake(const struct choice *choice, struct edhoc_session *i, struct edhoc_session *r,
                         const struct edhoc_credential *who)
{
    static uint8_t rooms[4][ROOM], plain_room[ROOM];
    struct writer message[4], plain = writer_over(plain_room, sizeof plain_room);
    struct edhoc_eads got;
    struct edhoc_reference reference;
    struct crypto_key x = ephemeral(0), y = ephemeral(1);
    for (size_t n = 0; n < 4; n++)
        message[n] = writer_over(rooms[n], ROOM);
    hold(edhoc_put_message_1(i, &profile, choice->method, edhoc_suite(2), &x, &choice->c_i, &choice->eads,
                             &message[0]) == OK);
    change(choice, 0, &message[0]);
    enum status status = edhoc_take_message_1(r, &profile, writer_bytes(&message[0]), &got);
    if (status == OK)
        status = edhoc_put_message_2(r, &y, &choice->c_r, &who[1], &choice->eads, &message[1]);
    else
        crypto_key_done(&y);
    TRY(status);
    change(choice, 1, &message[1]);
    TRY(edhoc_take_message_2(i, writer_bytes(&message[1]), &plain, &reference, &got));
    TRY(edhoc_verify_message_2(i, &who[1]));
    hold(choice->changed_message > 1);
    same_eads(&choice->eads, &got);
    hold(edhoc_put_message_3(i, &who[0], &choice->eads, &message[2]) == OK);
    change(choice, 2, &message[2]);
    plain = writer_over(plain_room, sizeof plain_room);
    TRY(edhoc_take_message_3(r, writer_bytes(&message[2]), &plain, &reference, &got));
    TRY(edhoc_verify_message_3(r, &who[0]));
    hold(choice->changed_message > 2 && bytes_equal(reference.kid, choice->kid));
    same_eads(&choice->eads, &got);
    hold(edhoc_put_message_4(r, &choice->eads, &message[3]) == OK);
    change(choice, 3, &message[3]);
    plain = writer_over(plain_room, sizeof plain_room);
    TRY(edhoc_take_message_4(i, writer_bytes(&message[3]), &plain, &got));
    same_eads(&choice->eads, &got);
    return OK;
}

static void try_handshake(struct bytes input)
{
    struct choice choice = take_choice(input);
    struct edhoc_session i = {0}, r = {0};
    struct edhoc_credential who[2];
    uint8_t room[64], keys[2][16];
    struct writer id = writer_over(room, sizeof room);
    edhoc_put_kid(&id, choice.kid);
    for (size_t n = 0; n < 2; n++)
        who[n] = (struct edhoc_credential){.value = n ? BYTES_OF("\x01") : BYTES_OF("\x02"),
                                           .key = owns[n].public_key,
                                           .private_key = &owns[n],
                                           .id_cred = writer_bytes(&id)};
    bool same = bytes_equal(id_bytes(&choice.c_i), id_bytes(&choice.c_r));
    enum status status = shake(&choice, &i, &r, who);
    hold((status == OK) == (choice.changed_message == 4 && !same));
    if (status == OK) {
        hold(edhoc_export(&i, 0, (struct bytes){0}, keys[0], 16) == OK &&
             edhoc_export(&r, 0, (struct bytes){0}, keys[1], 16) == OK && memcmp(keys[0], keys[1], 16) == 0);
    }
    edhoc_done(&i);
    edhoc_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader reader = reader_over(bytes_from(data, len));
    if (len > 4096)
        return 0;
    prepare();
    uint8_t kind = take_u8(&reader) % 6;
    struct bytes rest = take_rest(&reader);
    if (kind == 0)
        try_message_1(rest);
    else if (kind == 1)
        try_plaintext_2(rest);
    else if (kind == 2)
        try_message_2(rest);
    else if (kind < 5)
        try_plaintext_3(rest, kind == 4);
    else
        try_handshake(rest);
    return 0;
}
