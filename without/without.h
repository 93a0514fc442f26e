/* without: what a static program leaves out of a library that it is linked with. A library's archive brings along
 * whatever is named from what is used, be it from a table that nobody looks into; in an enclave that is code to be
 * trusted, and in every process memory. Where a name stands for a function of ours, what it named is not linked, nor
 * what that would have named. A name whose place in the library is needed after all is there twice then, and the
 * program does not link. Only for programs and only by program(WITHOUT): no room, and no test, has any of it. */
#ifndef BASTIDE_WITHOUT_H
#define BASTIDE_WITHOUT_H

#define WITHOUT(name, function) __asm__(".globl " #name "\n.hidden " #name "\n.set " #name ", " #function)

#endif
