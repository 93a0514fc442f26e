/* What plaintexts 2 and 3 share: ( ID_CRED_x / bstr / -24..23, Signature_or_MAC, ? EAD ). */
#include "edhoc_internal.h"

#include <string.h>

enum status check_own(const struct edhoc_session *session, const struct proof *proof)
{
    const struct crypto_key *key = proof->credential->private_key;
    enum crypto_curve curve = proof->by_signature ? session->suite->signature : session->suite->exchange;
    return key && key->public_key.curve == curve ? OK : UNSUPPORTED;
}

enum status put_plaintext(const struct edhoc_session *session, struct bytes before, size_t after, struct proof *proof,
                          const struct edhoc_eads *eads, struct writer *message, struct bytes *plaintext)
{
    uint8_t compact_room[EDHOC_KID_MAX + 2], head_room[9];
    struct bytes compact = compact_id_cred(proof->credential->id_cred, compact_room);
    struct writer head = writer_over(head_room, sizeof head_room);
    size_t made_len = proof_len(session, proof->by_signature), items_len = eads_len(eads);
    if (compact.len == 0)
        return NO_ROOM;
    cbor_put_bytes_head(&head, made_len);
    size_t len = proof->c_r.len + compact.len + head.len + made_len + items_len;
    cbor_put_bytes_head(message, before.len + len + after);
    put_bytes(message, before);
    size_t start = message->len;
    put_bytes(message, proof->c_r);
    put_bytes(message, compact);
    put_bytes(message, writer_bytes(&head));
    uint8_t *made = put_space(message, made_len);
    put_eads(message, eads);
    TRY(writer_end(message));
    *plaintext = bytes_slice(writer_bytes(message), start, len);
    proof->id_cred = proof->credential->id_cred;
    proof->eads = bytes_slice(*plaintext, len - items_len, items_len);
    return proof_make(session, proof, made);
}

/* {4: kid} in full, for the proof is over that. */
static void take_compact(struct edhoc_session *session, struct reader *reader)
{
    uint8_t byte[1];
    struct bytes kid = edhoc_take_id(reader, byte);
    struct writer map = writer_over(session->kid_map, sizeof session->kid_map);
    edhoc_put_kid(&map, kid);
    if (writer_end(&map) != OK)
        reader_fail(reader, NO_ROOM);
    session->id_cred = writer_bytes(&map);
}

static enum status take(struct edhoc_session *session, struct reader *reader, struct edhoc_reference *reference,
                        struct edhoc_eads *eads)
{
    struct edhoc_reference got = {0};
    if (cbor_peek_type(reader) == CBOR_MAP)
        session->id_cred = cbor_take_item(reader);
    else
        take_compact(session, reader);
    session->proof = cbor_take_bytes(reader);
    TRY(reader->status);
    session->eads = reader->rest;
    TRY(reference_decode(session->id_cred, &got));
    /* A lone kid is written compact, and only so (§3.5.3.2). */
    if (got.kind == EDHOC_KID && session->id_cred.data != session->kid_map)
        return MALFORMED;
    TRY(take_eads(reader, session->profile, eads));
    *reference = got;
    return OK;
}

void take_plaintext(struct edhoc_session *session, struct reader *reader, struct edhoc_reference *reference,
                    struct edhoc_eads *eads)
{
    *reference = (struct edhoc_reference){.kind = EDHOC_NONE};
    *eads = (struct edhoc_eads){0};
    session->bad = take(session, reader, reference, eads) != OK;
}

enum status verify_plaintext(struct edhoc_session *session, struct proof *proof, uint32_t mix_label,
                             const struct edhoc_credential *peer)
{
    enum crypto_curve curve = proof->by_signature ? session->suite->signature : session->suite->exchange;
    struct edhoc_credential decoy = {.key = decoy_key(curve)};
    uint8_t ones[CRYPTO_SIGNATURE_MAX]; /* a proof of nothing, but in the range of r and s: no check of it ends early */
    size_t len = proof_len(session, proof->by_signature);
    bool usable = peer && peer->key.curve == curve && !session->bad && session->proof.len == len;
    memset(ones, 1, sizeof ones);
    struct bytes given = usable ? session->proof : bytes_from(ones, len);
    proof->credential = usable ? peer : &decoy;
    proof->id_cred = session->id_cred;
    proof->eads = session->eads;
    if (!proof->by_signature &&
        mix_static_key(session, mix_label, &session->ephemeral, crypto_public_bytes(&proof->credential->key)) != OK)
        usable = false;
    bool proved = proof_check(session, proof, given) == OK;
    session->id_cred = session->proof = session->eads = (struct bytes){0};
    if (!usable || !proved)
        return AUTH;
    transcript_end(session, peer);
    return OK;
}

static enum status message_key(const struct edhoc_session *session, const struct secret *prk, uint32_t label,
                               enum crypto_aead_use use, struct crypto_aead *aead, uint8_t nonce[CRYPTO_AEAD_NONCE_MAX])
{
    uint8_t key[CRYPTO_AEAD_KEY_MAX];
    enum crypto_aead_alg alg = session->suite->aead;
    size_t len = crypto_aead_key_len(alg);
    enum status status = kdf(session, prk, label, session_th(session), key, len);
    if (status == OK)
        status = kdf(session, prk, label + 1, session_th(session), nonce, crypto_aead_nonce_len(alg));
    if (status == OK)
        status = crypto_aead_init_for(aead, alg, bytes_from(key, len), use);
    wipe(key, sizeof key);
    return status;
}

static struct bytes message_aad(const struct edhoc_session *session, uint8_t *room, size_t cap)
{
    struct writer aad = writer_over(room, cap);
    cose_put_enc_structure(&aad, (struct bytes){0}, session_th(session));
    return writer_bytes(&aad);
}

#define MESSAGE_AAD_MAX (CRYPTO_HASH_MAX + 24)

enum status seal_message(const struct edhoc_session *session, const struct secret *prk, uint32_t label,
                         struct bytes plaintext, struct writer *message)
{
    struct crypto_aead aead = {0};
    uint8_t nonce[CRYPTO_AEAD_NONCE_MAX], room[MESSAGE_AAD_MAX];
    TRY(message_key(session, prk, label, CRYPTO_SEAL, &aead, nonce));
    message->len -= plaintext.len;
    enum status status = crypto_aead_seal(&aead, bytes_from(nonce, crypto_aead_nonce_len(session->suite->aead)),
                                          message_aad(session, room, sizeof room), plaintext, message);
    crypto_aead_done(&aead);
    wipe(nonce, sizeof nonce);
    return status;
}

enum status open_message(const struct edhoc_session *session, const struct secret *prk, uint32_t label,
                         struct bytes ciphertext, struct writer *plain)
{
    struct crypto_aead aead = {0};
    uint8_t nonce[CRYPTO_AEAD_NONCE_MAX], room[MESSAGE_AAD_MAX];
    TRY(message_key(session, prk, label, CRYPTO_OPEN, &aead, nonce));
    enum status status = crypto_aead_open(&aead, bytes_from(nonce, crypto_aead_nonce_len(session->suite->aead)),
                                          message_aad(session, room, sizeof room), ciphertext, plain);
    crypto_aead_done(&aead);
    wipe(nonce, sizeof nonce);
    return status;
}
