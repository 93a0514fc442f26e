# libbastide-client.a: one object of every room that the library needs, in which nothing but bastide_* is visible, so it
# collides with nobody's names. `include/bastide.h` and `lib/` below the build directory are what a device maker takes.
set(library_rooms base crypto der pki x509 cbor cose coap oscore edhoc eat attest image tpm2 evidence enrol client device library)
set(library_objects "")
foreach(room ${library_rooms})
  list(APPEND library_objects $<TARGET_OBJECTS:${room}>)
endforeach()
set(library_archive ${CMAKE_BINARY_DIR}/lib/libbastide-client.a)
add_custom_command(OUTPUT ${library_archive} ${CMAKE_BINARY_DIR}/include/bastide.h
  COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/lib ${CMAKE_BINARY_DIR}/include
  COMMAND ld -r -o bastide-client.o ${library_objects}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=bastide_* bastide-client.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${library_archive}
  COMMAND ${CMAKE_AR} rcs ${library_archive} bastide-client.o
  COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/client/library/bastide.h ${CMAKE_BINARY_DIR}/include/bastide.h
  DEPENDS ${library_rooms} ${library_objects} ${CMAKE_SOURCE_DIR}/client/library/bastide.h
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(bastide-client ALL DEPENDS ${library_archive})

# As a device maker builds it: that header, that archive, libcrypto.
add_executable(thermometer examples/device/thermometer.c)
add_dependencies(thermometer bastide-client)
target_include_directories(thermometer PRIVATE ${CMAKE_BINARY_DIR}/include)
target_link_libraries(thermometer PRIVATE ${library_archive} -lcrypto)
