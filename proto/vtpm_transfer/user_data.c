/* What evidence over the facts is over. Apart from the messages: who only relays those needs no crypto library. */
#include "vtpm_transfer_internal.h"

#include <string.h>

enum status vtpm_transfer_user_data(const struct vtpm_transfer_facts *facts, uint8_t data[VTPM_TRANSFER_USER_DATA_LEN])
{
    uint8_t room[VTPM_TRANSFER_FACTS_LEN], hash[CRYPTO_HASH_MAX];
    struct writer writer = writer_over(room, sizeof room);
    vtpm_transfer_put_facts(&writer, facts);
    TRY(writer_end(&writer));
    const struct bytes parts[] = {bytes_from_text("bastide vtpm transfer"), writer_bytes(&writer)};
    TRY(crypto_hash(CRYPTO_SHA256, parts, 2, hash));
    memset(data, 0, VTPM_TRANSFER_USER_DATA_LEN);
    memcpy(data, hash, crypto_hash_len(CRYPTO_SHA256));
    return OK;
}
