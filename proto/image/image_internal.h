/* image, inside. Never included outside this directory. */
#ifndef BASTIDE_IMAGE_INTERNAL_H
#define BASTIDE_IMAGE_INTERNAL_H

#include "image.h"

/* manifest.c */
MUST_USE enum status image_sha256(struct bytes bytes, uint8_t hash[IMAGE_HASH_LEN]);

#endif
