/* The monitor's report: claims of an EAT (RFC 9711) in a COSE_Sign1. Keys below -65536 are for private use (RFC 8392
 * §9.1); they are written and read in exactly this order, all of them but the nonce always. */
#include "eat.h"

#include "cbor.h"
#include "cose.h"

enum claim {
    CLAIM_TIME = 6,
    CLAIM_NONCE = 10,
    CLAIM_PROFILE = 265,
    CLAIM_PORT = -70001,
    CLAIM_MODE = -70002,
    CLAIM_MEASUREMENT = -70003,
    CLAIM_PRODUCT = -70004,
    CLAIM_SECURITY_VERSION = -70005,
    CLAIM_SIGNER = -70006,
    CLAIM_CONFIG = -70007,
    CLAIM_WORKLOAD = -70008,
    CLAIM_USER_DATA = -70009,
    CLAIM_WALLS = -70010,
    CLAIM_SECRET_BYTES = -70011,
    CLAIM_UNPROTECTED_BYTES = -70012,
    CLAIM_MONITOR_MEASURED = -70013,
    CLAIM_MONITOR = -70014,
    CLAIM_FRESHNESS = -70015, /* [NV counter, reset count, restart count, sequence, since] */
};

#define CLAIMS_ALWAYS 17
#define FRESHNESS_COUNT 5

static bool nonce_len_good(size_t len)
{
    return len == 0 || (len >= EAT_NONCE_MIN && len <= EAT_NONCE_MAX);
}

static bool in_range(const struct eat_report *report)
{
    return nonce_len_good(report->nonce_len) && report->port.len > 0 && report->port.len <= EAT_PORT_MAX &&
           report->product.len > 0 && report->product.len <= EAT_PRODUCT_MAX &&
           (report->mode == EAT_PRODUCTION || report->mode == EAT_INSECURE_DEV);
}

static void put_bytes_claim(struct writer *writer, enum claim claim, struct bytes value)
{
    cbor_put_int(writer, claim);
    cbor_put_bytes(writer, value);
}

static void put_uint_claim(struct writer *writer, enum claim claim, uint64_t value)
{
    cbor_put_int(writer, claim);
    cbor_put_uint(writer, value);
}

static void put_text_claim(struct writer *writer, enum claim claim, struct bytes value)
{
    cbor_put_int(writer, claim);
    cbor_put_text_bytes(writer, value);
}

void eat_put_report(struct writer *writer, const struct eat_report *report)
{
    if (!in_range(report)) {
        writer_fail(writer, MALFORMED);
        return;
    }
    cbor_put_map(writer, CLAIMS_ALWAYS + (report->nonce_len > 0));
    put_uint_claim(writer, CLAIM_TIME, report->time_s);
    if (report->nonce_len)
        put_bytes_claim(writer, CLAIM_NONCE, bytes_from(report->nonce, report->nonce_len));
    put_text_claim(writer, CLAIM_PROFILE, bytes_from_text(EAT_PROFILE));
    put_text_claim(writer, CLAIM_PORT, report->port);
    put_uint_claim(writer, CLAIM_MODE, report->mode);
    put_bytes_claim(writer, CLAIM_MEASUREMENT, BYTES_OF(report->measurement));
    put_text_claim(writer, CLAIM_PRODUCT, report->product);
    put_uint_claim(writer, CLAIM_SECURITY_VERSION, report->security_version);
    put_bytes_claim(writer, CLAIM_SIGNER, BYTES_OF(report->signer));
    put_bytes_claim(writer, CLAIM_CONFIG, BYTES_OF(report->config));
    put_bytes_claim(writer, CLAIM_WORKLOAD, BYTES_OF(report->workload));
    put_bytes_claim(writer, CLAIM_USER_DATA, BYTES_OF(report->user_data));
    put_uint_claim(writer, CLAIM_WALLS, report->walls);
    put_uint_claim(writer, CLAIM_SECRET_BYTES, report->secret_bytes);
    put_uint_claim(writer, CLAIM_UNPROTECTED_BYTES, report->unprotected_bytes);
    cbor_put_int(writer, CLAIM_MONITOR_MEASURED);
    cbor_put_bool(writer, report->monitor_measured);
    put_bytes_claim(writer, CLAIM_MONITOR, BYTES_OF(report->monitor));
    cbor_put_int(writer, CLAIM_FRESHNESS);
    cbor_put_array(writer, FRESHNESS_COUNT);
    cbor_put_uint(writer, report->nv_counter);
    cbor_put_uint(writer, report->reset_count);
    cbor_put_uint(writer, report->restart_count);
    cbor_put_uint(writer, report->sequence);
    cbor_put_uint(writer, report->since_s);
}

static void take_key(struct reader *reader, enum claim claim)
{
    if (cbor_take_int(reader) != claim)
        reader_fail(reader, MALFORMED);
}

static void take_bytes_claim(struct reader *reader, enum claim claim, uint8_t *out, size_t len)
{
    take_key(reader, claim);
    struct bytes value = cbor_take_bytes(reader);
    struct writer writer = writer_over(out, len);
    put_bytes(&writer, value);
    if (value.len != len)
        reader_fail(reader, MALFORMED);
}

static uint64_t take_uint_claim(struct reader *reader, enum claim claim)
{
    take_key(reader, claim);
    return cbor_take_uint(reader);
}

static uint32_t take_u32(struct reader *reader)
{
    uint64_t value = cbor_take_uint(reader);
    if (value > UINT32_MAX)
        reader_fail(reader, MALFORMED);
    return (uint32_t)value;
}

static void take_nonce(struct reader *reader, struct eat_report *report)
{
    take_key(reader, CLAIM_NONCE);
    struct bytes nonce = cbor_take_bytes(reader);
    struct writer writer = writer_over(report->nonce, sizeof report->nonce);
    put_bytes(&writer, nonce);
    if (writer_end(&writer) != OK || nonce.len == 0)
        reader_fail(reader, MALFORMED);
    report->nonce_len = nonce.len;
}

enum status eat_report_decode(struct bytes payload, struct eat_report *report)
{
    struct reader reader = reader_over(payload);
    struct eat_report got = {0};
    size_t count = cbor_take_map(&reader);
    if (count != CLAIMS_ALWAYS && count != CLAIMS_ALWAYS + 1)
        reader_fail(&reader, MALFORMED);
    got.time_s = take_uint_claim(&reader, CLAIM_TIME);
    if (count == CLAIMS_ALWAYS + 1)
        take_nonce(&reader, &got);
    take_key(&reader, CLAIM_PROFILE);
    if (!bytes_equal(cbor_take_text(&reader), bytes_from_text(EAT_PROFILE)))
        reader_fail(&reader, UNSUPPORTED);
    take_key(&reader, CLAIM_PORT);
    got.port = cbor_take_text(&reader);
    got.mode = (enum eat_mode)take_uint_claim(&reader, CLAIM_MODE);
    take_bytes_claim(&reader, CLAIM_MEASUREMENT, got.measurement, sizeof got.measurement);
    take_key(&reader, CLAIM_PRODUCT);
    got.product = cbor_take_text(&reader);
    take_key(&reader, CLAIM_SECURITY_VERSION);
    got.security_version = take_u32(&reader);
    take_bytes_claim(&reader, CLAIM_SIGNER, got.signer, sizeof got.signer);
    take_bytes_claim(&reader, CLAIM_CONFIG, got.config, sizeof got.config);
    take_bytes_claim(&reader, CLAIM_WORKLOAD, got.workload, sizeof got.workload);
    take_bytes_claim(&reader, CLAIM_USER_DATA, got.user_data, sizeof got.user_data);
    take_key(&reader, CLAIM_WALLS);
    got.walls = take_u32(&reader);
    got.secret_bytes = take_uint_claim(&reader, CLAIM_SECRET_BYTES);
    got.unprotected_bytes = take_uint_claim(&reader, CLAIM_UNPROTECTED_BYTES);
    take_key(&reader, CLAIM_MONITOR_MEASURED);
    got.monitor_measured = cbor_take_bool(&reader);
    take_bytes_claim(&reader, CLAIM_MONITOR, got.monitor, sizeof got.monitor);
    take_key(&reader, CLAIM_FRESHNESS);
    if (cbor_take_array(&reader) != FRESHNESS_COUNT)
        reader_fail(&reader, MALFORMED);
    got.nv_counter = cbor_take_uint(&reader);
    got.reset_count = take_u32(&reader);
    got.restart_count = take_u32(&reader);
    got.sequence = cbor_take_uint(&reader);
    got.since_s = cbor_take_uint(&reader);
    TRY(reader_end(&reader));
    if (!in_range(&got))
        return MALFORMED;
    *report = got;
    return OK;
}

enum status eat_report_sign(struct writer *writer, const struct crypto_key *report_key, const struct eat_report *report)
{
    uint8_t payload[EAT_REPORT_MAX];
    struct writer body = writer_over(payload, sizeof payload);
    eat_put_report(&body, report);
    TRY(writer_end(&body));
    struct cose_headers headers = {0};
    return cose_sign1_encode(writer, report_key, &headers, (struct bytes){0}, writer_bytes(&body));
}

enum status eat_report_open(struct bytes sign1, const struct crypto_public *report_key, struct eat_report *report)
{
    struct cose_sign1 message;
    if (sign1.len > EAT_REPORT_MAX)
        return NO_ROOM;
    TRY(cose_sign1_decode(sign1, &message));
    if (message.detached)
        return MALFORMED;
    TRY(cose_sign1_verify(&message, report_key, (struct bytes){0}));
    return eat_report_decode(message.payload, report);
}
