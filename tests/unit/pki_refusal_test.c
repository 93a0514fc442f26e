/* pki: certificates with one rule broken at a time, signed all the same. Where a rule has a limit, it is tried at it.
 */
#include "check.h"
#include "pki_rig.h"

#include <stdio.h>

static struct crypto_key key;
static uint8_t room[RIG_ROOM], scratch[RIG_ROOM];

static struct bytes hex(struct writer *writer, const char *text)
{
    size_t from = writer->len;
    put_u8(writer, 0); /* so that nothing at all has an address too */
    check_ok(hex_decode(text, writer));
    check_ok(writer_end(writer));
    return (struct bytes){&writer->data[from + 1], writer->len - from - 1};
}

static enum status decode(const struct rig_pieces *pieces, struct pki_certificate *certificate)
{
    struct writer out = writer_over(room, sizeof room);
    return pki_certificate_decode(rig_certificate(&out, &key, pieces), certificate);
}

static void the_usual_pieces_are_a_certificate(void **state)
{
    (void)state;
    struct pki_certificate certificate;
    check_ok(decode(&(struct rig_pieces){0}, &certificate));
    check_ok(pki_certificate_verify(&certificate, &key.public_key));
}

/* ---- Pieces ---- */

enum piece { VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, KEY, BEFORE, EXTENSIONS, OUTER, SIGNATURE, BEHIND };

static const struct row {
    enum piece piece;
    enum status status;
    const char *hex;
} rows[] = {
    {VERSION, UNSUPPORTED, ""}, /* 1 */
    {VERSION, UNSUPPORTED, "a003020101"},
    {VERSION, UNSUPPORTED, "a003020103"},
    {VERSION, MALFORMED, "a0030201ff"},
    {VERSION, MALFORMED, "a00402020002"},
    {VERSION, MALFORMED, "a006020102020102"},
    {VERSION, MALFORMED, "a000"},
    {SERIAL, OK, "02017f"},
    {SERIAL, OK, "02020080"},
    {SERIAL, OK, "02147f00000000000000000000000000000000000000"},
    {SERIAL, NO_ROOM, "02150080000000000000000000000000000000000000ff"},
    {SERIAL, NO_ROOM, "02157f0000000000000000000000000000000000000000"},
    {SERIAL, MALFORMED, "020100"},
    {SERIAL, MALFORMED, "0201ff"},
    {SERIAL, MALFORMED, "02020001"},
    {SERIAL, MALFORMED, "0200"},
    {SERIAL, MALFORMED, "0a0101"},
    {SERIAL, MALFORMED, "02810105"}, /* a length longer than needed */
    {SERIAL, MALFORMED, "0282000105"},
    {SERIAL, MALFORMED, "0283000001050000"},
    {SERIAL, MALFORMED, "0280050000"},                  /* without end */
    {ALGORITHM, MALFORMED, "300a06082a8648ce3d040303"}, /* SHA-384 inside, SHA-256 outside */
    {ALGORITHM, UNSUPPORTED, "300c06082a8648ce3d0403020500"},
    {ALGORITHM, UNSUPPORTED, "300906072a8648ce3d0401"},         /* with SHA-1 */
    {ALGORITHM, UNSUPPORTED, "300d06092a864886f70d01010b0500"}, /* RSA */
    {ALGORITHM, MALFORMED, "3000"},
    {ISSUER, MALFORMED, "3000"},
    {SUBJECT, OK, "3000"},
    {SUBJECT, OK, "300c310a30080603550403130161"},            /* PrintableString */
    {SUBJECT, UNSUPPORTED, "300d310b300906035504031e020061"}, /* BMPString */
    {SUBJECT, UNSUPPORTED, "300d310b300906035504061e020061"},
    {SUBJECT, OK, "300c310a30080603550406160161"}, /* IA5String */
    {SUBJECT, MALFORMED, "300d310b3009060355040616026180"},
    {SUBJECT, MALFORMED, "300c310a300806035504060c0180"},
    {SUBJECT, MALFORMED, "300d310b300906035504061602c3a9"},
    {SUBJECT, MALFORMED, "300c310a300806035504030c0100"},
    {SUBJECT, MALFORMED, "300c310a300806035504030c0180"},
    {SUBJECT, MALFORMED, "300d310b300906035504030c02c080"},
    {SUBJECT, MALFORMED, "300d310b300906035504030c02c285"},
    {SUBJECT, OK, "300d310b300906035504030c02c2a0"},
    {SUBJECT, MALFORMED, "300e310c300a06035504030c03eda080"},
    {SUBJECT, MALFORMED, "300b3109300706035504030c00"},
    {SUBJECT, MALFORMED, "30023100"},
    {SUBJECT, MALFORMED, "3009310730050603550403"},
    {SUBJECT, MALFORMED, "300f310d300b06035504030c01610c0162"},
    {SUBJECT, UNSUPPORTED, "300e310c300a06035504032c030c0161"},
    {SUBJECT, UNSUPPORTED, "300c310a30080603550403000161"},
    {SUBJECT, MALFORMED, "3018310a300806035504030c0161310a300806035504030c0162"}, /* two common names */
    {SUBJECT, OK, "3018310a300806035504030c0161310a3008060355040a0c0162"},
    {SUBJECT, OK, "301631143008060355040a0c01613008060355040a0c0162"},        /* a set, in order */
    {SUBJECT, MALFORMED, "301631143008060355040a0c01623008060355040a0c0161"}, /* and not */
    {SUBJECT, MALFORMED, "301631143008060355040a0c01613008060355040a0c0161"},
    {SUBJECT, MALFORMED, "310c310a300806035504030c0161"},
    {SUBJECT, MALFORMED, "300e310c300a06035504030c01610500"},
    {KEY, UNSUPPORTED, "3012300d06092a864886f70d0101010500030100"},
    {KEY, UNSUPPORTED, "3016301006072a8648ce3d020106052b8104002303020004"}, /* P-521 */
    {KEY, UNSUPPORTED, "3013300b06072a8648ce3d0201300003040004aabb"},       /* a curve spelt out */
    {KEY, UNSUPPORTED, "300f300906072a8648ce3d020103020004"},
    {KEY, UNSUPPORTED,
     "3039301306072a8648ce3d020106082a8648ce3d030107032200"
     "02f81c5b11eb2c50dc2ec5a04d5d6d5e2f8e9e9d0b4a8f3aa0c4b0a0a6b3e1c7d2"},
    {KEY, UNSUPPORTED, "3029300506032b656e03200000000000000000000000000000000000000000000000000000000000000000"},
    {KEY, OK, "302a300506032b656e0321000900000000000000000000000000000000000000000000000000000000000000"},
    {KEY, MALFORMED, "302a300506032b656e0321010900000000000000000000000000000000000000000000000000000000000000"},
    {KEY, UNSUPPORTED, "302a300506032b656f0321000900000000000000000000000000000000000000000000000000000000000000"},
    {KEY, UNSUPPORTED, "302c300706032b656e05000321000900000000000000000000000000000000000000000000000000000000000000"},
    {KEY, MALFORMED,
     "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
     "0000000000000000000000000000000000000000000000000000000000000001"
     "0000000000000000000000000000000000000000000000000000000000000001"},
    {BEFORE, UNSUPPORTED, "81020001"},
    {BEFORE, UNSUPPORTED, "82020001"},
    {BEFORE, MALFORMED, "0500"},
    {EXTENSIONS, MALFORMED, "a3023000"},
    {EXTENSIONS, MALFORMED, "a300"},
    {EXTENSIONS, MALFORMED, "a30d300b30090603551d1304023000a30d300b30090603551d1304023000"},
    {EXTENSIONS, MALFORMED, "a31a300b30090603551d1304023000300b30090603551d1304023000"},
    {EXTENSIONS, OK, "a30d300b30090603551d1304023000"},
    {OUTER, MALFORMED, "300a06082a8648ce3d040303"},
    {OUTER, UNSUPPORTED, "300c06082a8648ce3d0403020500"},
    {OUTER, MALFORMED, "0500"},
    {SIGNATURE, MALFORMED, "0302017e"},
    {SIGNATURE, MALFORMED, "0300"},
    {SIGNATURE, MALFORMED, "04020000"},
    {SIGNATURE, MALFORMED, ""},
    {BEHIND, MALFORMED, "0500"},
    {BEHIND, MALFORMED, "00"},
};

static void each_piece_keeps_to_its_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct writer writer = writer_over(scratch, sizeof scratch);
        struct rig_pieces pieces = {.version = {0}};
        struct bytes *places[] = {
            &pieces.version,    &pieces.serial,          &pieces.algorithm, &pieces.issuer,
            &pieces.validity,   &pieces.subject,         &pieces.key,       &pieces.before_extensions,
            &pieces.extensions, &pieces.outer_algorithm, &pieces.signature, &pieces.behind};
        struct pki_certificate certificate = {.path_len = 77}, before = certificate;
        *places[rows[i].piece] = hex(&writer, rows[i].hex);
        enum status status = decode(&pieces, &certificate);
        if (status != rows[i].status)
            fail_msg("%s: %s, not %s", rows[i].hex, status_word(status), status_word(rows[i].status));
        if (status != OK)
            assert_memory_equal(&certificate, &before, sizeof before);
    }
}

/* ---- Signatures that decode and do not verify ---- */

static void signatures_of_another_form_are_none(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "030100", /* none */
        "030300"
        "3000", /* no numbers */
        "030900"
        "3006020101"
        "020101", /* small ones */
        "030a00"
        "3007020200010201"
        "01", /* a zero too many */
        "030900"
        "3006020100"
        "020101", /* zero */
        "030900"
        "3006"
        "0201ff"
        "020101", /* negative */
        "030b00"
        "3006020101020101"
        "0500", /* something behind */
        "030b00"
        "3008020101020101"
        "0500",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct writer writer = writer_over(scratch, sizeof scratch);
        struct pki_certificate certificate;
        check_ok(decode(&(struct rig_pieces){.signature = hex(&writer, forms[i])}, &certificate));
        check_status(AUTH, pki_certificate_verify(&certificate, &key.public_key));
    }
}

/* ---- Dates ---- */

static void dates_are_written_one_way(void **state)
{
    (void)state;
    static const struct {
        int tag;
        const char *text;
        bool good;
        int64_t time_s;
    } dates[] = {
        {DER_UTC_TIME, "700101000000Z", true, 0},
        {DER_UTC_TIME, "500101000000Z", true, -631152000},
        {DER_UTC_TIME, "491231235959Z", true, 2524607999},
        {DER_UTC_TIME, "000229120000Z", true, 951825600},
        {DER_GENERALIZED_TIME, "20500101000000Z", true, 2524608000},
        {DER_GENERALIZED_TIME, "21000228235959Z", true, 4107542399},
        {DER_GENERALIZED_TIME, "99991231235959Z", true, PKI_NO_END},
        {DER_GENERALIZED_TIME, "20491231235959Z", false, 0},
        {DER_GENERALIZED_TIME, "21000229000000Z", false, 0},
        {DER_UTC_TIME, "270229000000Z", false, 0},
        {DER_UTC_TIME, "270431000000Z", false, 0},
        {DER_UTC_TIME, "270001000000Z", false, 0},
        {DER_UTC_TIME, "271301000000Z", false, 0},
        {DER_UTC_TIME, "270100000000Z", false, 0},
        {DER_UTC_TIME, "270132000000Z", false, 0},
        {DER_UTC_TIME, "270101240000Z", false, 0},
        {DER_UTC_TIME, "270101006000Z", false, 0},
        {DER_UTC_TIME, "270101000060Z", false, 0},
        {DER_UTC_TIME, "2701010000Z", false, 0},
        {DER_UTC_TIME, "270101000000", false, 0},
        {DER_UTC_TIME, "270101000000z", false, 0},
        {DER_UTC_TIME, "270101000000+0000", false, 0},
        {DER_UTC_TIME, "270101000000ZZ", false, 0},
        {DER_UTC_TIME, "27010100000:Z", false, 0},
        {DER_UTC_TIME, "+70101000000Z", false, 0},
        {DER_UTC_TIME, " 70101000000Z", false, 0},
        {DER_UTC_TIME, "20270101000000Z", false, 0},
        {DER_UTC_TIME, "", false, 0},
        {DER_GENERALIZED_TIME, "20510101000000.5Z", false, 0},
        {DER_GENERALIZED_TIME, "510101000000Z", false, 0},
        {DER_UTF8, "270101000000Z", false, 0},
    };
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        struct writer writer = writer_over(scratch, sizeof scratch);
        struct pki_certificate certificate;
        size_t opened = der_open(&writer, DER_SEQUENCE);
        der_put(&writer, (unsigned)dates[i].tag, bytes_from_text(dates[i].text));
        der_put(&writer, DER_GENERALIZED_TIME, bytes_from_text("99991231235959Z"));
        der_close(&writer, opened);
        enum status status = decode(&(struct rig_pieces){.validity = writer_bytes(&writer)}, &certificate);
        if (status != (dates[i].good ? OK : MALFORMED))
            fail_msg("%s: %s", dates[i].text, status_word(status));
        if (status == OK)
            assert_true(certificate.not_before_s == dates[i].time_s);
    }
    struct writer writer = writer_over(scratch, sizeof scratch);
    struct pki_certificate certificate;
    struct rig_pieces backwards = {
        .validity = hex(&writer, "301e170d3237303130313030303030305a170d3236303130313030303030305a")};
    check_status(MALFORMED, decode(&backwards, &certificate));
}

/* ---- Extensions ---- */

static void put_extension(struct writer *writer, const char *oid, const char *critical, const char *value)
{
    size_t area = der_open(writer, DER_SEQUENCE), opened = der_open(writer, DER_OID);
    check_ok(hex_decode(oid, writer));
    der_close(writer, opened);
    check_ok(hex_decode(critical, writer));
    opened = der_open(writer, DER_OCTET_STRING);
    check_ok(hex_decode(value, writer));
    der_close(writer, opened);
    der_close(writer, area);
}

#define YES "0101ff"

static const struct extension_row {
    enum status status;
    const char *oid, *critical, *value;
} extension_rows[] = {
    {OK, "551d13", YES, "30030101ff"}, /* basicConstraints */
    {OK, "551d13", "", "3000"},
    {OK, "551d13", YES, "30060101ff020100"},
    {OK, "551d13", YES, "30070101ff02027fff"},
    {MALFORMED, "551d13", YES, "30080101ff0203008000"},
    {MALFORMED, "551d13", YES, "30060101ff0201ff"},
    {MALFORMED, "551d13", YES, "30070101ff02020000"},
    {MALFORMED, "551d13", YES, "3003010100"},
    {MALFORMED, "551d13", YES, "3003010101"},
    {MALFORMED, "551d13", YES, "30040102ffff"},
    {MALFORMED, "551d13", YES, "3003020100"},
    {MALFORMED, "551d13", YES, "30030101ff00"},
    {MALFORMED, "551d13", YES, "30050101ff0500"},
    {MALFORMED, "551d13", YES, ""},
    {MALFORMED, "551d13", YES, "3180"},
    {MALFORMED, "551d13", "010100", "3000"},
    {MALFORMED, "551d13", "010101", "3000"},
    {MALFORMED, "551d13", YES YES, "3000"},
    {OK, "551d0f", YES, "03020780"}, /* keyUsage */
    {OK, "551d0f", YES, "0303070080"},
    {MALFORMED, "551d0f", YES, "0303064040"},
    {MALFORMED, "551d0f", YES, "0304060000c0"},
    {MALFORMED, "551d0f", YES, "030100"},
    {MALFORMED, "551d0f", YES, "03020000"},
    {MALFORMED, "551d0f", YES, "03020080"},
    {MALFORMED, "551d0f", YES, "03020781"},
    {MALFORMED, "551d0f", YES, "03020880"},
    {MALFORMED, "551d0f", YES, "0300"},
    {OK, "551d25", "", "300a06082b06010505070301"}, /* extendedKeyUsage */
    {MALFORMED, "551d25", "", "3000"},
    {MALFORMED, "551d25", "", "30020600"},
    {MALFORMED, "551d25", "", "300a06082b060105050703"},
    {MALFORMED, "551d25", "", "300c06082b060105050703010500"},
    {OK, "551d11", "", "300386013a"}, /* subjectAltName */
    {OK, "551d11", YES, "300386013a"},
    {OK, "551d11", "", "3003820161"},
    {MALFORMED, "551d11", "", "3000"},
    {MALFORMED, "551d11", "", "30028600"},
    {MALFORMED, "551d11", "", "3003860120"},
    {MALFORMED, "551d11", "", "300386017f"},
    {MALFORMED, "551d11", "", "3003860180"},
    {MALFORMED, "551d11", "", "300686013a86013b"},
    {MALFORMED, "551d11", "", "300389013a"},
    {MALFORMED, "551d11", "", "300306013a"},
    {MALFORMED, "551d11", "", "300486023a"},
    {OK, "551d0e", "", "040161"}, /* subjectKeyIdentifier */
    {MALFORMED, "551d0e", "", "0400"},
    {MALFORMED, "551d0e", "", "04026100ff"},
    {OK, "551d23", "", "3000"}, /* authorityKeyIdentifier */
    {OK, "551d23", "", "3003800161"},
    {OK, "551d23", "",
     "300b800161a10382016182"
     "0101"},
    {MALFORMED, "551d23", "", "30028000"},
    {MALFORMED, "551d23", "", "3008800161a103820161"},
    {MALFORMED, "551d23", "", "3006820101800161"},
    {MALFORMED, "551d23", "", "30038001"},
    {OK, "551d20", "", "ff"}, /* others are nobody's business */
    {OK, "2a03", "", ""},
    {MALFORMED, "", "", ""},
    {MALFORMED, "551dda", "", ""}, /* an arc without end, and one with a zero in front */
    {MALFORMED, "55801d", "", ""},
    {MALFORMED, "80", "", ""},
    {OK, "55813d", "", ""},
};

static void each_extension_keeps_to_its_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof extension_rows / sizeof *extension_rows; i++) {
        const struct extension_row *row = &extension_rows[i];
        struct writer writer = writer_over(scratch, sizeof scratch);
        struct pki_certificate certificate;
        size_t outer = der_open(&writer, DER_CONTEXT_HELD + 3), list = der_open(&writer, DER_SEQUENCE);
        put_extension(&writer, row->oid, row->critical, row->value);
        der_close(&writer, list);
        der_close(&writer, outer);
        enum status status = decode(&(struct rig_pieces){.extensions = writer_bytes(&writer)}, &certificate);
        if (status != row->status)
            fail_msg("%s %s %s: %s", row->oid, row->critical, row->value, status_word(status));
        if (status == OK)
            assert_false(certificate.unknown_critical);
    }
}

/* Each extension twice, beside each other and with one between. */
static void no_extension_stands_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof extension_rows / sizeof *extension_rows; i++) {
        const struct extension_row *row = &extension_rows[i];
        if (row->status != OK)
            continue;
        for (int between = 0; between < 2; between++) {
            struct writer writer = writer_over(scratch, sizeof scratch);
            struct pki_certificate certificate;
            size_t outer = der_open(&writer, DER_CONTEXT_HELD + 3), list = der_open(&writer, DER_SEQUENCE);
            put_extension(&writer, row->oid, row->critical, row->value);
            if (between)
                put_extension(&writer, "2a04", "", "");
            put_extension(&writer, row->oid, row->critical, row->value);
            der_close(&writer, list);
            der_close(&writer, outer);
            check_status(MALFORMED, decode(&(struct rig_pieces){.extensions = writer_bytes(&writer)}, &certificate));
        }
    }
}

static void an_unknown_critical_extension_is_told(void **state)
{
    (void)state;
    static const char *const unknown[][2] = {
        {"551d1e", "3000"},                           /* nameConstraints */
        {"551d24", "3000"},                           /* policyConstraints */
        {"2a03", ""},       {"551d1300", "3000"},     /* begins like one we know */
        {"551c13", "3000"}, {"551d11", "3003820161"}, /* a name of another kind */
    };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct writer writer = writer_over(scratch, sizeof scratch);
        struct pki_certificate certificate;
        size_t outer = der_open(&writer, DER_CONTEXT_HELD + 3), list = der_open(&writer, DER_SEQUENCE);
        put_extension(&writer, unknown[i][0], YES, unknown[i][1]);
        der_close(&writer, list);
        der_close(&writer, outer);
        check_ok(decode(&(struct rig_pieces){.extensions = writer_bytes(&writer)}, &certificate));
        assert_true(certificate.unknown_critical);
    }
}

/* ---- Limits of what others make ---- */

static void as_many_and_as_long_as_the_limits_allow(void **state)
{
    (void)state;
    struct pki_certificate certificate;
    for (size_t count = PKI_EXTENSIONS_MAX; count <= PKI_EXTENSIONS_MAX + 1; count++) {
        struct writer writer = writer_over(scratch, sizeof scratch);
        size_t outer = der_open(&writer, DER_CONTEXT_HELD + 3), list = der_open(&writer, DER_SEQUENCE);
        for (size_t i = 0; i < count; i++) {
            char oid[16];
            snprintf(oid, sizeof oid, "2a%02zx", i);
            put_extension(&writer, oid, "", "00");
        }
        der_close(&writer, list);
        der_close(&writer, outer);
        check_status(count == PKI_EXTENSIONS_MAX ? OK : NO_ROOM,
                     decode(&(struct rig_pieces){.extensions = writer_bytes(&writer)}, &certificate));
    }
    static uint8_t filler[PKI_CERTIFICATE_MAX];
    bool fits = false, too_long = false;
    for (size_t len = PKI_CERTIFICATE_MAX - 320; len < PKI_CERTIFICATE_MAX - 160; len++) {
        struct writer writer = writer_over(scratch, sizeof scratch), out = writer_over(room, sizeof room);
        size_t outer = der_open(&writer, DER_CONTEXT_HELD + 3), list = der_open(&writer, DER_SEQUENCE);
        size_t area = der_open(&writer, DER_SEQUENCE);
        static const uint8_t oid[] = {0x2a, 0x03};
        der_put(&writer, DER_OID, BYTES_OF(oid));
        der_put(&writer, DER_OCTET_STRING, bytes_from(filler, len));
        der_close(&writer, area);
        der_close(&writer, list);
        der_close(&writer, outer);
        struct bytes extensions = writer_bytes(&writer);
        const struct rig_pieces pieces = {.extensions = extensions, .signature = hex(&writer, "03020001")};
        struct bytes der = rig_certificate(&out, &key, &pieces);
        check_status(der.len <= PKI_CERTIFICATE_MAX ? OK : NO_ROOM, pki_certificate_decode(der, &certificate));
        fits |= der.len == PKI_CERTIFICATE_MAX;
        too_long |= der.len == PKI_CERTIFICATE_MAX + 1;
    }
    assert_true(fits && too_long);
    for (size_t len = PKI_NAME_MAX - 40; len < PKI_NAME_MAX; len++) { /* O=aaa… */
        struct writer writer = writer_over(scratch, sizeof scratch);
        static const uint8_t oid[] = {0x55, 0x04, 0x0a};
        memset(filler, 'a', sizeof filler);
        size_t name = der_open(&writer, DER_SEQUENCE), set = der_open(&writer, DER_SET);
        size_t attribute = der_open(&writer, DER_SEQUENCE);
        der_put(&writer, DER_OID, BYTES_OF(oid));
        der_put(&writer, DER_UTF8, bytes_from(filler, len));
        der_close(&writer, attribute);
        der_close(&writer, set);
        der_close(&writer, name);
        check_status(writer.len <= PKI_NAME_MAX ? OK : NO_ROOM,
                     decode(&(struct rig_pieces){.subject = writer_bytes(&writer)}, &certificate));
    }
    for (size_t len = PKI_COMMON_NAME_MAX; len <= PKI_COMMON_NAME_MAX + 1; len++) {
        struct writer writer = writer_over(scratch, sizeof scratch);
        char text[PKI_COMMON_NAME_MAX + 1];
        memset(text, 'a', sizeof text);
        static const uint8_t oid[] = {0x55, 0x04, 0x03};
        size_t name = der_open(&writer, DER_SEQUENCE), set = der_open(&writer, DER_SET);
        size_t attribute = der_open(&writer, DER_SEQUENCE);
        der_put(&writer, DER_OID, BYTES_OF(oid));
        der_put(&writer, DER_UTF8, bytes_from(text, len));
        der_close(&writer, attribute);
        der_close(&writer, set);
        der_close(&writer, name);
        check_status(len == PKI_COMMON_NAME_MAX ? OK : NO_ROOM,
                     decode(&(struct rig_pieces){.subject = writer_bytes(&writer)}, &certificate));
    }
}

static int make_key(void **state)
{
    (void)state;
    check_ok(crypto_init());
    check_ok(crypto_key_generate(&key, CRYPTO_P256));
    return 0;
}

static int drop_key(void **state)
{
    (void)state;
    crypto_key_done(&key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_pieces_are_a_certificate),
        cmocka_unit_test(each_piece_keeps_to_its_rules),
        cmocka_unit_test(signatures_of_another_form_are_none),
        cmocka_unit_test(dates_are_written_one_way),
        cmocka_unit_test(each_extension_keeps_to_its_rules),
        cmocka_unit_test(no_extension_stands_twice),
        cmocka_unit_test(an_unknown_critical_extension_is_told),
        cmocka_unit_test(as_many_and_as_long_as_the_limits_allow),
    };
    return cmocka_run_group_tests(tests, make_key, drop_key);
}
