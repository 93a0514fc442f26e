/* What the files of the device room share. */
#ifndef BASTIDE_DEVICE_INTERNAL_H
#define BASTIDE_DEVICE_INTERNAL_H

#include "device.h"

/* hold.c: the callbacks of struct client_edhoc */
enum status device_meet(void *user, const struct client_hub *hub, char *why, size_t cap);
enum status device_appraise(void *user, const struct client_hub *hub, char *why, size_t cap);

/* state.c: this key's certificate, from now on; not kept yet. */
MUST_USE enum status device_set_certificate(struct device *device, struct bytes der);

#endif
