/* What the files of the room share. */
#ifndef BASTIDE_ENROL_INTERNAL_H
#define BASTIDE_ENROL_INTERNAL_H

#include "enrol.h"

/* 1 to max bytes without a zero among them, into a zeroed room of max + 1. */
void enrol_take_text(struct reader *reader, char *room, size_t max);

#endif
