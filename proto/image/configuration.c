/* The launch configuration: {1: owner certificate, 2: site id, 3: mode}, nothing else. */
#include "image_internal.h"

#include "cbor.h"
#include "pki.h"

#include <string.h>

#define PRODUCTION "production"
#define INSECURE_DEV "insecure-dev"

void image_put_configuration(struct writer *writer, const struct image_configuration *configuration)
{
    cbor_put_map(writer, 3);
    cbor_put_uint(writer, 1);
    cbor_put_bytes(writer, configuration->certificate);
    cbor_put_uint(writer, 2);
    cbor_put_bytes(writer, BYTES_OF(configuration->site));
    cbor_put_uint(writer, 3);
    cbor_put_text(writer, configuration->insecure_dev ? INSECURE_DEV : PRODUCTION);
}

enum status image_configuration_decode(struct bytes encoded, struct image_configuration *configuration)
{
    struct image_configuration got = {0};
    struct pki_certificate certificate;
    struct reader reader = reader_over(encoded);
    if (encoded.len > IMAGE_CONFIGURATION_MAX)
        return NO_ROOM;
    if (cbor_take_map(&reader) != 3)
        reader_fail(&reader, MALFORMED);
    cbor_take_key(&reader, 1);
    got.certificate = cbor_take_bytes(&reader);
    cbor_take_key(&reader, 2);
    struct bytes site = cbor_take_bytes(&reader);
    cbor_take_key(&reader, 3);
    struct bytes mode = cbor_take_text(&reader);
    TRY(reader_end(&reader));
    got.insecure_dev = bytes_equal(mode, bytes_from_text(INSECURE_DEV));
    if (site.len != sizeof got.site || (!got.insecure_dev && !bytes_equal(mode, bytes_from_text(PRODUCTION))))
        return MALFORMED;
    memcpy(got.site, site.data, sizeof got.site);
    TRY(pki_certificate_decode(got.certificate, &certificate));
    got.owner = certificate.key;
    if (got.owner.curve != CRYPTO_P256)
        return UNSUPPORTED;
    TRY(image_sha256(encoded, got.config_id));
    *configuration = got;
    return OK;
}
