/* A move, step by step; each looks first where the two ends stand, so that it can be taken up anywhere. */
#include "vtpm_mover_internal.h"

#include <string.h>

static bool same_point(const uint8_t a[VTPM_TRANSFER_POINT_LEN], const uint8_t b[VTPM_TRANSFER_POINT_LEN])
{
    return memcmp(a, b, VTPM_TRANSFER_POINT_LEN) == 0; /* public */
}

static enum status granted(struct vtpm_mover_end *source, const struct crypto_key *owner,
                           enum vtpm_grant_purpose purpose, const uint8_t to[VTPM_TRANSFER_POINT_LEN])
{
    uint8_t room[VTPM_TRANSFER_AUTHORITY_MAX];
    struct writer grant = writer_over(room, sizeof room);
    TRY(mover_sign(&grant, owner, purpose, &source->facts, to));
    return mover_ask(source, VTPM_TRANSFER_GRANT, writer_bytes(&grant), NULL);
}

static enum status fit(struct vtpm_mover_end *source, const struct vtpm_mover_end *destination)
{
    if (memcmp(source->facts.instance, destination->facts.instance, sizeof source->facts.instance) != 0)
        return mover_refuse(source, "the destination is another instance's: give both the same configuration");
    return OK;
}

/* What was cut short when the state had left already goes on to the same key. */
enum status vtpm_mover_begin(struct vtpm_mover_end *source, struct vtpm_mover_end *destination,
                             const struct crypto_key *owner)
{
    TRY(vtpm_mover_status(source));
    if (source->facts.custody != VTPM_LIVE && source->facts.custody != VTPM_MOVED)
        return mover_refuse(source, "there is no state at the source that could move");
    TRY(mover_ask(destination, VTPM_TRANSFER_PREPARE, (struct bytes){0}, NULL));
    TRY(fit(source, destination));
    if (source->facts.custody == VTPM_LIVE)
        return granted(source, owner, VTPM_GRANT_MOVE, destination->facts.to);
    if (!same_point(source->facts.to, destination->facts.to))
        return mover_refuse(source, "the state has left for another landing key: finish or abort that move first");
    return OK;
}

enum status vtpm_mover_carry(struct vtpm_mover_end *source, struct vtpm_mover_end *destination)
{
    struct bytes bundle = {0};
    TRY(mover_ask(source, VTPM_TRANSFER_GIVE, (struct bytes){0}, &bundle));
    return mover_ask(destination, VTPM_TRANSFER_LAND, bundle, NULL);
}

enum status vtpm_mover_finish(struct vtpm_mover_end *source, struct vtpm_mover_end *destination,
                              const struct crypto_key *owner)
{
    TRY(vtpm_mover_status(source));
    TRY(vtpm_mover_status(destination));
    TRY(fit(source, destination));
    if (destination->facts.custody != VTPM_LIVE || !same_point(source->facts.to, destination->facts.to))
        return mover_refuse(destination, "the destination has not landed what left the source");
    if (source->facts.custody == VTPM_FORGOTTEN)
        return OK;
    if (source->facts.custody != VTPM_MOVED)
        return mover_refuse(source, "the source has nothing to forget: its state did not leave");
    return granted(source, owner, VTPM_GRANT_FORGET, source->facts.to);
}

/* `destination` drops its key and proves it, or the owner gave his word. */
enum status vtpm_mover_abort(struct vtpm_mover_end *source, struct vtpm_mover_end *destination,
                             const struct crypto_key *owner)
{
    TRY(vtpm_mover_status(source));
    if (source->facts.custody != VTPM_LIVE && source->facts.custody != VTPM_MOVED)
        return mover_refuse(source, "the source has no state that it could go on with");
    if (destination) {
        TRY(mover_ask(destination, VTPM_TRANSFER_ABANDON, (struct bytes){0}, NULL));
        TRY(fit(source, destination));
        if (source->facts.custody == VTPM_MOVED && !same_point(source->facts.to, destination->facts.to))
            return mover_refuse(destination, "what the destination dropped is not the key that the state left for");
    }
    if (source->facts.custody == VTPM_LIVE && !source->facts.armed)
        return OK;
    /* While it did not leave there is no landing key to name: any point does, and the grant to move is void. */
    return granted(source, owner, VTPM_GRANT_RESUME,
                   source->facts.custody == VTPM_MOVED ? source->facts.to : source->facts.from);
}
