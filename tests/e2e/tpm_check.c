/* The tpm room against a running software TPM, judged by the verifier's rooms, which know no TPM stack:
 *     tpm_check TCTI provision|capped|again|gone FILE
 * Every step is a claim; the first that does not hold is named and the exit code is 1. */
#include "evidence.h"
#include "tpm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM(what, good)                                                                                              \
    do {                                                                                                               \
        if (!(good)) {                                                                                                 \
            fprintf(stderr, "tpm_check: does not hold: %s (%s)\n", what, tpm ? tpm_error(tpm) : error);                \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

#define TIMEOUT_MS 3000

static char error[TPM_ERROR_MAX];

static bool keep(const char *path, const struct tpm_sealed *sealed)
{
    uint8_t room[TPM_SEALED_MAX];
    struct writer writer = writer_over(room, sizeof room);
    tpm_put_sealed(&writer, sealed);
    FILE *file = fopen(path, "we");
    bool good = file && writer_end(&writer) == OK && fwrite(room, 1, writer.len, file) == writer.len;
    return file && fclose(file) == 0 && good;
}

static bool recall(const char *path, struct tpm_sealed *sealed)
{
    uint8_t room[TPM_SEALED_MAX];
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(room, 1, sizeof room, file) : 0;
    if (file)
        fclose(file);
    return tpm_sealed_decode(bytes_from(room, len), sealed) == OK;
}

static int check_evidence(struct tpm *tpm)
{
    struct crypto_key report_key = {0};
    struct tpm_public_area ek, ak;
    struct tpm_quote quote;
    struct evidence_result result;
    uint8_t data[32], encoded[EAT_EVIDENCE_MAX], signed_report[EAT_REPORT_MAX];
    static const uint8_t nonce[16] = "a nonce of ours", config[32] = {7}, measurement[1][32] = {{9}};
    struct eat_report report = {.nonce_len = sizeof nonce,
                                .port = bytes_from_text("linux"),
                                .mode = EAT_INSECURE_DEV,
                                .measurement = {9},
                                .product = bytes_from_text("hub"),
                                .config = {7}};
    memcpy(report.nonce, nonce, sizeof nonce);
    CLAIM("a report key is made", crypto_key_generate(&report_key, CRYPTO_P256) == OK);
    tpm_ek(tpm, &ek);
    tpm_ak(tpm, &ak);
    CLAIM("the report key is quoted", eat_quote_data(&report_key.public_key, BYTES_OF(nonce), data) == OK &&
                                          tpm_make_quote(tpm, data, &quote) == OK);
    struct writer body = writer_over(signed_report, sizeof signed_report);
    CLAIM("a report is signed", eat_report_sign(&body, &report_key, &report) == OK);
    struct eat_evidence bundle = {.report = writer_bytes(&body),
                                  .report_key = report_key.public_key,
                                  .quote = bytes_from(quote.attest, quote.attest_len),
                                  .quote_signature = BYTES_OF(quote.signature),
                                  .pcr_mask = TPM_PCR_MASK,
                                  .ak = bytes_from(ak.data, ak.len),
                                  .ek = bytes_from(ek.data, ek.len)};
    memcpy(bundle.pcrs, quote.pcrs, sizeof bundle.pcrs);
    struct writer writer = writer_over(encoded, sizeof encoded);
    eat_put_evidence(&writer, &bundle);
    const struct evidence_policy policy = {.ek_name = BYTES_OF(ek.name),
                                           .ak_name = BYTES_OF(ak.name),
                                           .measurements = measurement,
                                           .measurement_count = 1,
                                           .config = BYTES_OF(config),
                                           .nonce = BYTES_OF(nonce),
                                           .allow_insecure_dev = true,
                                           .allow_unmeasured_monitor = true};
    CLAIM("the verifier accepts a quote of this TPM",
          evidence_appraise(writer_bytes(&writer), &policy, &result) == OK && result.reasons == 0);

    uint8_t blob[TPM2_CREDENTIAL_MAX];
    static const uint8_t wanted[32] = "only this TPM can tell this one";
    struct writer credential = writer_over(blob, sizeof blob);
    SECRET found = {.len = 0};
    CLAIM("a challenge is made", evidence_challenge(writer_bytes(&writer), BYTES_OF(wanted), &credential) == OK);
    CLAIM("the TPM that holds EK and AK answers it", tpm_activate(tpm, writer_bytes(&credential), &found) == OK &&
                                                         found.len == sizeof wanted &&
                                                         ct_equal(found.data, wanted, sizeof wanted));
    blob[20] ^= 1;
    CLAIM("a changed challenge is refused", tpm_activate(tpm, writer_bytes(&credential), &found) == AUTH);
    crypto_key_done(&report_key);
    return 0;
}

static int use(struct tpm *tpm, const uint8_t root[TPM_ROOT_LEN], const struct tpm_sealed *sealed, uint64_t *counter)
{
    uint64_t value = 0;
    uint32_t resets = 0, restarts = 0;
    CLAIM("the root is used", tpm_use_root(tpm, root + 32, sealed) == OK);
    if (*counter == 0)
        CLAIM("a counter is made once", tpm_counter_create(tpm, &value) == OK && value > 0);
    else
        CLAIM("the counter is where it was", tpm_counter_read(tpm, &value) == OK && value == *counter);
    *counter = value;
    CLAIM("the counter moves by one", tpm_counter_increment(tpm, &value) == OK && value == *counter + 1);
    CLAIM("the owner sees the same value", tpm_counter_peek(tpm, counter) == OK && value == *counter);
    CLAIM("there is one counter", tpm_counter_create(tpm, &value) == DENIED);
    CLAIM("the reset counter is read", tpm_counts(tpm, &resets, &restarts) == OK);
    return check_evidence(tpm);
}

static bool bent_unseals(struct tpm *tpm, struct tpm_sealed sealed)
{
    uint8_t root[TPM_ROOT_LEN];
    sealed.root.sensitive[40] ^= 1;
    return tpm_unseal(tpm, &sealed, &sealed.approval, root) != AUTH;
}

/* Not made by the TPM, or usable without the policy: someone may know what it computes. */
static bool other_key_opens(struct tpm *tpm, struct tpm_sealed sealed, size_t off, uint8_t bit)
{
    uint8_t root[TPM_ROOT_LEN];
    sealed.root.area[off] ^= bit;
    return tpm_unseal(tpm, &sealed, &sealed.approval, root) != AUTH ||
           !strstr(tpm_error(tpm), "is not one this TPM made under the boot signer");
}

static int provision(const char *tcti, const char *path)
{
    struct tpm *tpm = NULL;
    struct tpm_sealed sealed;
    struct tpm2_approval approval = {.signature = {1}};
    struct crypto_key signer = {0};
    uint8_t root[TPM_ROOT_LEN], again[TPM_ROOT_LEN];
    CLAIM("a software TPM wants development mode",
          tpm_open(&tpm, tcti, false, (struct bytes){0}, TIMEOUT_MS, error) == DENIED);
    CLAIM("the TPM opens", tpm_open(&tpm, tcti, true, (struct bytes){0}, TIMEOUT_MS, error) == OK);
    CLAIM("keys are made", crypto_key_generate(&signer, CRYPTO_P256) == OK);
    CLAIM("a boot chain nobody approved gets no root",
          tpm_seal(tpm, signer.public_key.data, &approval, root, &sealed) == AUTH);
    CLAIM("the present boot chain is approved", tpm_authorise(tpm, &signer, &approval) == OK);
    CLAIM("the root is made", tpm_seal(tpm, signer.public_key.data, &approval, root, &sealed) == OK);
    CLAIM("it unseals",
          tpm_unseal(tpm, &sealed, &sealed.approval, again) == OK && memcmp(root, again, sizeof root) == 0);
    sealed.approval.signature[9] ^= 1;
    CLAIM("a policy nobody signed opens nothing", tpm_unseal(tpm, &sealed, &sealed.approval, again) == AUTH);
    sealed.approval.signature[9] ^= 1;
    CLAIM("nor does a changed blob", !bent_unseals(tpm, sealed));
    CLAIM("nor does a key that someone brought", !other_key_opens(tpm, sealed, 9, 1u << 5));
    CLAIM("nor one without the policy", !other_key_opens(tpm, sealed, 9, 1u << 6));
    CLAIM("nor one with another policy", !other_key_opens(tpm, sealed, 20, 1));
    CLAIM("the cap is extended", tpm_cap(tpm) == OK);
    CLAIM("and then nothing unseals", tpm_unseal(tpm, &sealed, &sealed.approval, again) == DENIED);
    CLAIM("nor can the capped state be authorised", tpm_authorise(tpm, &signer, &sealed.approval) == DENIED);
    int bad = use(tpm, root, &sealed, &sealed.born_counter);
    if (bad)
        return bad;
    CLAIM("the file is written", keep(path, &sealed));
    crypto_key_done(&signer);
    tpm_close(tpm);
    return 0;
}

static int again(const char *tcti, const char *path, bool capped)
{
    struct tpm *tpm = NULL;
    struct tpm_sealed sealed;
    uint8_t root[TPM_ROOT_LEN];
    static const uint8_t other[TPM2_NAME_LEN] = {0, 0xb, 1};
    CLAIM("the file is read", recall(path, &sealed));
    CLAIM("another TPM is not taken for ours", tpm_open(&tpm, tcti, true, BYTES_OF(other), TIMEOUT_MS, error) == AUTH);
    CLAIM("the TPM opens", tpm_open(&tpm, tcti, true, BYTES_OF(sealed.ek_name), TIMEOUT_MS, error) == OK);
    if (capped) {
        CLAIM("nothing unseals in a capped boot", tpm_unseal(tpm, &sealed, &sealed.approval, root) == DENIED);
    } else {
        CLAIM("it unseals after a reset", tpm_unseal(tpm, &sealed, &sealed.approval, root) == OK);
        int bad = use(tpm, root, &sealed, &sealed.born_counter);
        if (bad)
            return bad;
        /* Someone with the owner's authorisation redefines the index: it goes on upwards, and is not ours. */
        uint8_t theirs[32] = {1};
        uint64_t value = 0;
        CLAIM("the owner removes the counter", tpm_counter_remove(tpm) == OK);
        CLAIM("then it is gone", tpm_counter_read(tpm, &value) == NOT_FOUND);
        tpm_close(tpm);
        CLAIM("the TPM opens", tpm_open(&tpm, tcti, true, BYTES_OF(sealed.ek_name), TIMEOUT_MS, error) == OK);
        CLAIM("another root makes it anew", tpm_use_root(tpm, theirs, &sealed) == OK &&
                                                tpm_counter_create(tpm, &value) == OK && value > sealed.born_counter);
        struct tpm_quote quote;
        CLAIM("another root does not quote with our key", tpm_make_quote(tpm, theirs, &quote) == DENIED);
        tpm_close(tpm);
        CLAIM("the TPM opens", tpm_open(&tpm, tcti, true, BYTES_OF(sealed.ek_name), TIMEOUT_MS, error) == OK);
        CLAIM("we do not take it for ours",
              tpm_use_root(tpm, root + 32, &sealed) == OK && tpm_counter_read(tpm, &value) == DENIED);
    }
    tpm_close(tpm);
    return 0;
}

static int gone(const char *tcti)
{
    struct tpm *tpm = NULL;
    CLAIM("a TPM that does not answer is an error, not a wait",
          tpm_open(&tpm, tcti, true, (struct bytes){0}, 500, error) == IO);
    puts(error);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4 || crypto_init() != OK)
        return 2;
    if (strcmp(argv[2], "provision") == 0)
        return provision(argv[1], argv[3]);
    if (strcmp(argv[2], "gone") == 0)
        return gone(argv[1]);
    return again(argv[1], argv[3], strcmp(argv[2], "capped") == 0);
}
