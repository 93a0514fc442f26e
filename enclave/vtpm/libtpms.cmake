# libtpms_bound.a: Debian's static libtpms, with what it would ask the C library about files, time, processes and
# (weak) randomness bound to our own functions (libc.c) by name. Its randomness proper is libcrypto's, its heap is malloc().
set(libtpms_bound ${CMAKE_BINARY_DIR}/libtpms_bound.a)
find_library(LIBTPMS libtpms.a REQUIRED)
set(bindings "")
foreach(name clock_gettime gettimeofday clock getpid rand srand getenv fopen fclose fflush fseek ftell fread fwrite remove)
  list(APPEND bindings --redefine-sym ${name}=vtpm_${name})
endforeach()
list(APPEND bindings --redefine-sym __dprintf_chk=vtpm_dprintf --redefine-sym __vdprintf_chk=vtpm_vdprintf)
add_custom_command(OUTPUT ${libtpms_bound} COMMAND ${CMAKE_OBJCOPY} ${bindings} ${LIBTPMS} ${libtpms_bound}
  DEPENDS ${LIBTPMS} ${CMAKE_CURRENT_LIST_FILE} COMMENT "libtpms, bound" VERBATIM)
add_custom_target(libtpms_bound DEPENDS ${libtpms_bound})
