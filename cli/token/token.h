/* token: the owner's key in a PKCS #11 token — named by a URI (RFC 7512), found or made there, signing there.
 * Never has the private key; never puts a PIN anywhere but into C_Login; never makes, initialises or unlocks a token.
 */
#ifndef BASTIDE_TOKEN_H
#define BASTIDE_TOKEN_H

#include "base.h"
#include "crypto.h"

#define TOKEN_URI_MAX 2048 /* with its NUL */
#define TOKEN_PIN_MAX 255

/* One session with one token and one key of it. Every failure below leaves a sentence in token_why(). */
struct token;

struct token *token_new(void);        /* NULL: out of memory */
void token_free(struct token *token); /* closes the session, with it the login; before it, the key is to be done with */
const char *token_why(const struct token *token);   /* "" while nothing failed */
const char *token_label(const struct token *token); /* as it can be shown; "" before it was found */

/* Takes the URI apart; looks at no module. `module` (NULL: none) is a module's file, like module-path in the URI; with
 * neither, p11-kit's configuration says which there are. MALFORMED: no such URI, or one that cannot name a key; DENIED:
 * it holds a PIN. */
MUST_USE enum status token_name(struct token *token, const char *uri, const char *module);

/* Loads the module and opens a session with the token, of which there must be exactly one that fits. NOT_FOUND: none;
 * DENIED: several, or one that nobody initialised; IO: the module. */
MUST_USE enum status token_find(struct token *token);

enum token_login { TOKEN_OPEN, TOKEN_PIN, TOKEN_PIN_PAD };
enum token_login token_login_kind(const struct token *token);
/* What the token tells of its tries, which is no number (PKCS #11 §3.2, CK_TOKEN_INFO); asks it anew. */
enum token_tries { TOKEN_TRIES_FRESH, TOKEN_TRIES_FEWER, TOKEN_TRIES_LAST, TOKEN_TRIES_OVER };
enum token_tries token_tries(struct token *token);
/* With no PIN where the token is open or has a pad of its own. AUTH: another PIN. */
MUST_USE enum status token_login(struct token *token, struct bytes pin);

/* The key that the URI names; with `make`, one that is made there when nothing has that name, which *made then says.
 * NOT_FOUND; DENIED: several, or one that may not sign or may be read out; UNSUPPORTED: something else than a P-256
 * private key. The crypto_key signs through the token: done with it before token_free(). `known` is its public half,
 * for a token that does not tell (NULL: it must); DENIED: another. */
MUST_USE enum status token_take_key(struct token *token, bool make, const struct crypto_public *known, bool *made,
                                    struct crypto_key *key);
/* False for a key that somebody put there: copies of it may be elsewhere. */
bool token_made_key_itself(const struct token *token);

/* Of exactly this key in exactly this token, for the next time: no PIN in it, and the module's file when one was named.
 */
MUST_USE enum status token_put_uri(const struct token *token, char uri[TOKEN_URI_MAX]);

#endif
