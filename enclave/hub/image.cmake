# hub.image/: the product that is measured — program, script engine and its policy, signed. Without a signer's key named
# by BASTIDE_SIGNER one is made for development, beside the build.
set(BASTIDE_SIGNER ${CMAKE_BINARY_DIR}/signer.key CACHE FILEPATH "the image signer's P-256 key (made when missing)")
set(hub_image ${CMAKE_BINARY_DIR}/hub.image)
# stripped(PROGRAM): stripped/PROGRAM, without symbols, which a node would copy and measure at each load.
function(stripped program)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/stripped/${program}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/stripped
    COMMAND ${CMAKE_STRIP} -o ${CMAKE_BINARY_DIR}/stripped/${program} $<TARGET_FILE:${program}>
    DEPENDS ${program} COMMENT "${program} without symbols" VERBATIM)
endfunction()
stripped(hub.enclave)
add_custom_command(OUTPUT ${hub_image}/manifest
  COMMAND bastide-image --key ${BASTIDE_SIGNER} --product hub --version 1 --out ${hub_image}
    ${CMAKE_BINARY_DIR}/stripped/hub.enclave ${CMAKE_BINARY_DIR}/modules/quickjs.so ${CMAKE_BINARY_DIR}/modules/quickjs.policy
  DEPENDS ${CMAKE_BINARY_DIR}/stripped/hub.enclave bastide-image quickjs ${CMAKE_BINARY_DIR}/modules/quickjs.so
    ${CMAKE_BINARY_DIR}/modules/quickjs.policy
  COMMENT "image hub" VERBATIM)
add_custom_target(hub_image ALL DEPENDS ${hub_image}/manifest)
