# libtpms_bound.a: Debian's static libtpms, with what it would ask the C library about files, time, processes and
# (weak) randomness, and libcrypto for AES block by block, bound to our own functions (libc.c, aes.c) by name. Its
# randomness proper is libcrypto's, its heap is malloc().
set(libtpms_bound ${CMAKE_BINARY_DIR}/libtpms_bound.a)
find_library(LIBTPMS libtpms.a REQUIRED)
set(bindings "")
foreach(name clock_gettime gettimeofday clock getpid rand srand getenv fopen fclose fflush fseek ftell fread fwrite remove
    AES_set_encrypt_key AES_encrypt)
  list(APPEND bindings --redefine-sym ${name}=vtpm_${name})
endforeach()
list(APPEND bindings --redefine-sym __dprintf_chk=vtpm_dprintf --redefine-sym __vdprintf_chk=vtpm_vdprintf)
add_custom_command(OUTPUT ${libtpms_bound} COMMAND ${CMAKE_OBJCOPY} ${bindings} ${LIBTPMS} ${libtpms_bound}
  DEPENDS ${LIBTPMS} ${CMAKE_CURRENT_LIST_FILE} COMMENT "libtpms, bound" VERBATIM)
add_custom_target(libtpms_bound DEPENDS ${libtpms_bound})
add_library(tpms STATIC IMPORTED)
set_target_properties(tpms PROPERTIES IMPORTED_LOCATION ${libtpms_bound} INTERFACE_LINK_LIBRARIES vtpm) # each asks the other
add_dependencies(tpms libtpms_bound)
