/* hub: the IoT middleware — clients, events, rules, actions, history behind OSCORE, over a sealed store.
 * Never does I/O of its own: what arrives is handed in, what leaves goes through hub_port; never answers what is not
 * yet durable. */
#ifndef BASTIDE_HUB_H
#define BASTIDE_HUB_H

#include "abi.h"
#include "base.h"

struct script_engine;

#define HUB_CLIENTS_MAX 1024
#define HUB_SESSIONS_MAX 10240       /* sessions that EDHOC agreed on, open at once */
#define HUB_SESSIONS_EACH 16         /* of one client */
#define HUB_HANDSHAKES_MAX 64        /* EDHOC sessions between their first and their third message */
#define HUB_HANDSHAKE_MS 15000       /* for so long */
#define HUB_HANDSHAKE_SPARED_MS 2000 /* when all places are taken, none younger than this gives way */
#define HUB_EK_DAYS 3650             /* of an EK certificate, and never beyond the site CA's */
#define HUB_CODE_LEN 16              /* bytes of a one-time code */
#define HUB_CODE_MS (60 * 60 * 1000) /* for so long it is valid, unless the owner says otherwise */
#define HUB_CODE_MS_MAX (7ll * 24 * 60 * 60 * 1000)
#define HUB_CODE_TRIES 10        /* wrong codes from anybody, in … */
#define HUB_CODE_WINDOW_MS 60000 /* … so long; then none is looked at until it is over */
#define HUB_SLOTS (HUB_SESSIONS_MAX + HUB_HANDSHAKES_MAX)
#define HUB_BODY_MAX (64u * 1024u)    /* of a request's payload, unless the configuration says otherwise */
#define HUB_BODY_LIMIT (128u * 1024u) /* and this is the most that it may say: what a door message carries */
#define HUB_WAIT_MAX_S 60             /* a long poll */
#define HUB_WATCHES_MAX 256           /* observations and long polls together */
#define HUB_ACTIONS_KEPT 1024         /* newest actions kept for a target to fetch */
#define HUB_IDS_KEPT 256              /* newest event ids remembered of a client: a repetition is no second event */
#define HUB_LAST_MAX 256              /* pairs of source and type a client may have */
#define HUB_GROUP_MAX 512             /* requests answered by one commit */
#define HUB_BACKLOG_MAX 4096          /* requests that wait for the next one; HUB_BACKLOG_BYTES of them */
#define HUB_BACKLOG_BYTES (4u << 20)
#define HUB_PAGE_MAX (60u * 1024u) /* of a page of actions or history: AES-CCM-16 protects less than 64 KiB */
#define HUB_HISTORY_MAX 500        /* rows of one history answer */
#define HUB_HISTORIES_MAX 16       /* history requests at once */
#define HUB_RETRY_MS 2000          /* between attempts to write while storage fails */

/* The interface behind OSCORE (JSON out, JSON in unless a content format says otherwise). An error is
 * {"error":{"field":…,"reason":…}} with the code beside it. Times are RFC 3339 UTC with milliseconds.
 *
 * anyone, a stranger with a bare key among them
 *   GET  /est/crts           -> 2.05, 287: the site CA's certificate (RFC 9148)
 *   POST /est/sen?code=CODE  286: a PKCS #10 request -> 2.04, 287: a client's certificate. The code works
 *                            once, for one key, which may ask again for what it missed
 *   POST /.well-known/attest CBOR [263, nonce] -> 2.04, 263: evidence of this session, with a fresh quote
 * every client
 *   POST /events             50 JSON, 60 CBOR, 110 and 112 SenML -> 2.04 {"accepted":n,"duplicates":n}
 *   GET  /actions?after=C&wait=S, or with Observe
 *       -> 2.05 {"actions":[{"cursor","target","type","rule","time","source","properties"}…],"cursor":C}
 *   POST /est/sren           286 -> 2.04, 287: its next certificate; its first use ends the present one
 * the owner
 *   GET  /site               -> {"site","certificate": of the site CA, base64url, or null}
 *   POST /site/request       -> 2.01 {"request": base64url PKCS #10}, which the owner answers with
 *   POST /site/certificate   {"certificate": base64url} -> 2.04, as GET
 *   POST /site/owner         {"request": base64url} -> 2.01 {"certificate"}: the owner's daily key. Made by
 *                            the owner's own it ends the former one at once, else by its first use
 *   POST /site/ek            {"name","instance","tenant","model","version","measurement","signer", "rsa" | "p256" |
 *                            "p384"}, id and hashes in hex, the key in base64url (proto/ek) -> 2.04, 287: an EK
 *                            certificate for a vTPM
 *   POST /site/platform      {"holder": serial number of one of its EK certificates, in hex, "instance","tenant",
 *                            "model","version","node","configuration","measurement"} -> 2.04, 42: the platform
 *                            certificate of a VM (proto/ek), an attribute certificate
 *   GET  /clients            -> {"clients":[{"name","created","algorithm" | "certificate_expires" | "code_expires"}…]}
 *   POST /clients            {"name","algorithm"?: "AES-CCM-16-64-128" (if left out), "AES-CCM-16-128-128", "A128GCM",
 *                            "A256GCM"} -> 2.01 {"name","input": base64url of oscore_put_input(), as the client holds
 *                            it}
 *                            {"name","code":true,"valid_s"?} -> 2.01 {"name","code": base64url,"expires"}
 *   DELETE /clients/NAME     -> 2.02 {"name"}; its sessions end
 *   GET  /rules              -> {"rules":[see engine_list_rules()]}
 *   GET  /rules/NAME         -> {"name","rule","state"}
 *   POST /rules              the rule (see engine.h) -> 2.01 {"name"}
 *   POST /rules/NAME/test    an event -> 2.05, the trace of engine_try_rule()
 *   DELETE /rules/NAME       -> 2.02 {"name"}
 *   GET  /history?source=&type=&from=TIME&to=TIME&limit=n&cursor=C, newest first, times being when the hub took it in
 *       -> {"rows":[{"sequence","kind":"event"|"action","received","message"}…],"cursor":C}, 0 when that is all
 *   GET  /status             -> see status.c
 *   POST /report             {"nonce": 16 to 128 hex digits} -> {"evidence": base64url}
 * unprotected: POST /.well-known/edhoc (RFC 9528 Appendix A.2): 65 {true, message 1} -> 64 message 2; 65 {C_R,
 * message 3} -> 64 message 4; errors with 4.00, in 64 too */

/* What the hub asks of the world. Everything but `advance` answers at once. */
struct hub_port {
    void *user;
    /* One message to the host: parts taken one after the other. Waits for room; IO when the host is gone for good. */
    enum status (*send)(void *user, enum door_operation operation, uint64_t id, const struct bytes *parts,
                        size_t count);
    /* Ask the monitor to move the site's head; the answer comes by hub_advanced(), not before this returned. */
    enum status (*advance)(void *user, const struct monitor_advance *advance);
    enum status (*head)(void *user, struct monitor_head_reply *head);
    enum status (*seal_key)(void *user, const struct monitor_seal *seal, struct monitor_seal_reply *reply);
    enum status (*report)(void *user, const struct monitor_report *report, struct writer *evidence);
};

struct hub_config {
    struct bytes configuration; /* the launch configuration (proto/image): owner certificate, site id, mode */
    struct hub_port port;
    struct script_engine *scripts; /* NULL: rules are refused */
    size_t body_max;               /* 0 for HUB_BODY_MAX */
    uint64_t time_ms;              /* Unix time to begin with, untrusted; 0 when unknown */
};

struct hub;

/* Call after crypto_init() and before the walls go up (SQLite is initialised). MALFORMED: the configuration. */
MUST_USE enum status hub_new(struct hub **hub, const struct hub_config *config);
void hub_free(struct hub *hub); /* NULL is allowed */

/* Begin to load the store: the first questions go to the host. Requests are answered 5.03 until it is done. */
MUST_USE enum status hub_start(struct hub *hub);
/* One message from the host. A malformed one is dropped and said in the audit log. */
void hub_receive(struct hub *hub, const struct door_header *header, struct bytes payload);
/* The monitor's answer to `advance`. */
void hub_advanced(struct hub *hub, enum status status, const struct monitor_head_reply *head);
/* Call when everything that had arrived was handed in: commits what came together. */
void hub_idle(struct hub *hub);

/* 0 while the hub lives; otherwise it must stop, with this exit code and sentence. */
int hub_exit_code(const struct hub *hub, const char **sentence);

#endif
