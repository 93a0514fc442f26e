/* engine, inside: what its files share. */
#ifndef BASTIDE_ENGINE_INTERNAL_H
#define BASTIDE_ENGINE_INTERNAL_H

#include "engine.h"

#include <jansson.h>

/* Say what is wrong; returns `status` so that a check is one line. */
__attribute__((format(printf, 4, 5))) enum status engine_refuse(struct engine_refusal *refusal, enum status status,
                                                                const char *field, const char *format, ...);
/* Parse JSON text within ENGINE_DEPTH_MAX; NULL and a refusal otherwise. */
json_t *engine_load_json(struct bytes text, struct engine_refusal *refusal, enum status *status);
/* DENIED when the object has a member that is not in the NULL-terminated list. */
enum status engine_check_members(const json_t *object, const char *prefix, const char *const *known,
                                 struct engine_refusal *refusal);

#endif
