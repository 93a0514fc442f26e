/* client_http: what a client needs for http:// addresses, over libcurl: OSCORE over HTTP, and a question to a node's
 * TPM. Never judges an answer: what it carries is opened in the client room. Who speaks CoAP alone does not link it. */
#ifndef BASTIDE_CLIENT_HTTP_H
#define BASTIDE_CLIENT_HTTP_H

#include "base.h"
#include "client.h"

/* For client_config.http. */
extern const struct client_transport client_over_http;

/* Has the TPM of the node at this http:// URL open a credential (verifier/evidence: evidence_challenge). Appends what
 * it found. BUSY: its TPM is asked too often, try again; IO, UNSUPPORTED. `why`: a sentence. */
MUST_USE enum status client_http_prove(const char *url, struct bytes credential, uint32_t timeout_ms,
                                       struct writer *answer, char *why, size_t cap);

#endif
