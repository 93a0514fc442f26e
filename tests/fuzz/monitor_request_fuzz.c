/* Requests from anyone, in every state: refused without a trace in the session, or permitted with every field in its
 * limits. The first two bytes choose who and in which state. */
#include "permit.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct permit_request request;
    if (len < 2)
        return 0;
    struct permit_session session = {.who = data[0] & 1   ? PERMIT_ENCLAVE
                                            : data[0] & 2 ? PERMIT_GROUP
                                                          : PERMIT_CONTROL,
                                     .state = (enum permit_state)(1 << data[1] % 5)};
    const struct permit_session before = session;
    enum status status = permit_check(&session, bytes_from(data + 2, len - 2), &request);
    if (status != OK) {
        if (memcmp(&before, &session, sizeof session) != 0)
            abort();
        return 0;
    }
    if (before.state == PERMIT_ENDED || !(session.asked >> request.operation & 1))
        abort();
    if (request.operation == MONITOR_REPORT &&
        (request.of.report.nonce_len > MONITOR_NONCE_MAX || before.state != PERMIT_READY))
        abort();
    if (request.operation == MONITOR_SEAL_KEY && (request.of.seal.open > 1 || before.who != PERMIT_ENCLAVE))
        abort();
    if (request.operation == MONITOR_ADVANCE && request.of.advance.what.strict > 1)
        abort();
    if ((request.operation == MONITOR_ATTACH || request.operation == MONITOR_STATUS) &&
        (strnlen(request.of.instance.name, MONITOR_INSTANCE_LEN) == MONITOR_INSTANCE_LEN ||
         strchr(request.of.instance.name, '/') || request.of.instance.name[0] == '.'))
        abort();
    if (request.operation == MONITOR_ATTACH &&
        (request.of.attach.relaxed > 1 || (request.of.attach.relaxed && !request.of.attach.instance.name[0])))
        abort();
    if (request.operation == MONITOR_MEASURE &&
        (request.of.measure.given == 0 || request.of.measure.given >> MONITOR_PARTS || before.state != PERMIT_HOST))
        abort();
    if (request.operation == MONITOR_LAUNCH && before.who != PERMIT_ENCLAVE)
        abort();
    if (before.who == PERMIT_GROUP && before.state == PERMIT_CALLER && !request.of.instance.name[0])
        abort();
    if (request.operation == MONITOR_FORGET &&
        (request.of.forget.token.len == 0 || request.of.forget.token.len > len - 2 - sizeof request.of.forget.what))
        abort();
    if (request.operation == MONITOR_ACTIVATE && (request.of.blob.len == 0 || request.of.blob.len > len - 2))
        abort();
    return 0;
}
