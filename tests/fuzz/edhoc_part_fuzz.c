/* The parts of EDHOC's messages from anyone: EAD items, errors, claims sets, combined requests. What is accepted is
 * written again and is the same. */
#include "edhoc_eads_fuzz.h"

static void try_eads(struct bytes input)
{
    struct reader reader = reader_over(input);
    struct edhoc_eads eads;
    if (take_eads(&reader, &profile, &eads) == OK)
        hold_eads(&eads, input);
}

static void try_error(struct bytes input)
{
    static uint8_t room[ROOM];
    struct edhoc_error error;
    struct writer writer = writer_over(room, sizeof room);
    char text[EDHOC_ERROR_TEXT_MAX + 1] = {0};
    int numbers[EDHOC_SUITES_MAX];
    if (edhoc_error_decode(input, &error) != OK)
        return;
    hold(error.code != 0 && error.suites_count <= EDHOC_SUITES_MAX);
    (void)edhoc_choose_suite(&profile, error.suites, error.suites_count);
    if (error.code == EDHOC_ERROR_UNSPECIFIED && error.text.len && !memchr(error.text.data, 0, error.text.len)) {
        memcpy(text, error.text.data, error.text.len);
        edhoc_put_error(&writer, text);
        hold(bytes_equal(writer_bytes(&writer), input));
    } else if (error.code == EDHOC_ERROR_SUITE) {
        for (size_t i = 0; i < error.suites_count; i++) {
            if (error.suites[i] > 1000 || error.suites[i] < -1000)
                return;
            numbers[i] = (int)error.suites[i];
        }
        const struct edhoc_profile theirs = {.suites = numbers, .suites_count = error.suites_count};
        edhoc_put_error_suites(&writer, &theirs);
        hold(bytes_equal(writer_bytes(&writer), input));
    } else if (error.code == EDHOC_ERROR_UNKNOWN_CREDENTIAL) {
        edhoc_put_error_unknown_credential(&writer);
        hold(bytes_equal(writer_bytes(&writer), input));
    }
}

static void try_claims(struct bytes input)
{
    uint8_t room[ROOM];
    char name[256] = {0};
    struct crypto_public key, again;
    struct bytes subject, subject_again;
    struct writer writer = writer_over(room, sizeof room);
    if (edhoc_claims_decode(input, &key, &subject) != OK)
        return;
    hold(key.len == crypto_public_len(key.curve));
    if (subject.len >= sizeof name || (subject.len && memchr(subject.data, 0, subject.len)))
        return;
    if (subject.len)
        memcpy(name, subject.data, subject.len);
    edhoc_put_claims(&writer, name, &key, (struct bytes){0});
    hold(edhoc_claims_decode(writer_bytes(&writer), &again, &subject_again) == OK);
    hold(bytes_equal(crypto_public_bytes(&key), crypto_public_bytes(&again)) && bytes_equal(subject, subject_again));
}

static void try_combined(struct bytes input)
{
    static uint8_t room[ROOM];
    struct bytes message_3, ciphertext;
    struct writer writer = writer_over(room, sizeof room);
    if (edhoc_combined_decode(input, &message_3, &ciphertext) != OK)
        return;
    edhoc_put_combined(&writer, message_3, ciphertext);
    hold(bytes_equal(writer_bytes(&writer), input));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader reader = reader_over(bytes_from(data, len));
    uint8_t kind = take_u8(&reader) % 4;
    struct bytes rest = take_rest(&reader);
    if (len > 4096 || crypto_init() != OK)
        return 0;
    if (kind == 0)
        try_error(rest);
    else if (kind == 1)
        try_eads(rest);
    else if (kind == 2)
        try_claims(rest);
    else
        try_combined(rest);
    return 0;
}
