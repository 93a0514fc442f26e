/* abi: structs that cross a trust line — fixed widths, offsets not pointers, versioned, sizes asserted.
 * Holds no code. */
#ifndef BASTIDE_ABI_H
#define BASTIDE_ABI_H

#include "door.h"
#include "keyholder.h"
#include "monitor.h"

#endif
