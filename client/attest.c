/* The hub's evidence on its way to whoever judges it: of a session that begins, and once more of one that is open
 * (POST /.well-known/attest). */
#include "client_internal.h"

#include <stdio.h>

enum status client_judge(struct client *client, struct bytes evidence, struct bytes nonce)
{
    const struct client_handshake *handshake = &client->handshake;
    char why[WHY_MAX] = "its evidence was refused";
    const struct client_hub hub = {.credential = bytes_from(handshake->credential, handshake->credential_len),
                                   .evidence = evidence,
                                   .binder = &handshake->binder,
                                   .nonce = nonce};
    if (handshake->config->appraise(handshake->config->user, &hub, why, sizeof why) == OK)
        return OK;
    client_say(client, "%s", why);
    return DENIED;
}

/* Its answer is of the session that is open by then: a hub that lost the one before proved itself anew anyway. */
static enum status take_evidence(struct client *client, const struct client_answer *answer, struct bytes nonce)
{
    if (coap_code_class(answer->code) == 5) {
        client_say(client, "the hub at %s cannot give evidence now: try again", client->url.base);
        return IO;
    }
    enum status status = DENIED;
    if (answer->code == COAP_CHANGED && answer->content_format == ATTEST_FORMAT)
        status = client_judge(client, answer->payload, nonce);
    else
        client_say(client, "the hub at %s gives no evidence of what it is", client->url.base);
    if (status != OK)
        client_restart(client);
    return status;
}

enum status client_attest(struct client *client)
{
    uint8_t nonce[32], room[sizeof nonce + 8];
    struct writer request = writer_over(room, sizeof room);
    struct client_answer answer;
    if (!client->handshake.config || !client->handshake.config->appraise) {
        client_say(client, "nobody judges what the hub would show");
        return UNSUPPORTED;
    }
    TRY(crypto_random(nonce, sizeof nonce));
    attest_put_request(&request, &(struct attest_request){ATTEST_FORMAT, BYTES_OF(nonce)});
    const struct client_request question = {.code = COAP_POST,
                                            .path = ".well-known/attest",
                                            .content_format = CLIENT_NO_FORMAT,
                                            .payload = writer_bytes(&request)};
    TRY(client_ask(client, &question, &answer));
    return take_evidence(client, &answer, BYTES_OF(nonce));
}
