/* Datagrams from anyone: decoded or refused; what is decoded encodes to the same bytes, and every option of it can be
 * asked for. */
#include "coap.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void hold(bool truth)
{
    if (!truth)
        abort();
}

static void try_options(struct bytes options)
{
    uint16_t bad = 0;
    uint8_t room[4096];
    struct option_copy {
        struct writer writer;
        struct coap_option_writer options;
    } copy = {.writer = writer_over(room, sizeof room)};
    struct coap_option_reader reader = coap_options_over(options);
    struct coap_option option;
    copy.options = coap_options_to(&copy.writer);
    enum status checked = coap_options_check(options, &bad);
    hold(checked == OK || (checked == UNSUPPORTED && coap_option_is_critical(bad)));
    while (coap_option_next(&reader, &option)) {
        struct bytes first;
        uint32_t value = 0, found = 0;
        struct coap_block block;
        hold(coap_option_find(options, option.number, &first));
        enum status status = coap_option_uint(first, &value);
        hold(coap_option_find_uint(options, option.number, &found) == status && value == found);
        if (coap_block_decode(first, &block) == OK) {
            hold(block.szx <= COAP_BLOCK_SZX_MAX && block.num <= COAP_BLOCK_NUM_MAX);
            uint8_t out[8];
            struct writer writer = writer_over(out, sizeof out);
            struct coap_option_writer one = coap_options_to(&writer);
            struct coap_block again;
            coap_put_block(&one, COAP_BLOCK2, block);
            hold(coap_block_find(writer_bytes(&writer), COAP_BLOCK2, &again) == OK);
            hold(again.num == block.num && again.more == block.more && again.szx == block.szx);
        }
        coap_put_option(&copy.options, option.number, option.value);
    }
    hold(coap_options_end(&reader) == OK);
    hold(bytes_equal(writer_bytes(&copy.writer), options));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t room[4096];
    struct bytes input = bytes_from(data, len);
    struct coap_message message;
    struct writer writer = writer_over(room, sizeof room);
    if (coap_message_decode(input, &message) != OK)
        return 0;
    hold(message.token.len <= COAP_TOKEN_MAX && message.type <= COAP_RST);
    char text[COAP_CODE_TEXT];
    coap_code_text(message.body.code, text);
    coap_message_encode(&writer, &message);
    hold(bytes_equal(writer_bytes(&writer), input));
    try_options(message.body.options);
    return 0;
}
