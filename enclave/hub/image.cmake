# hub.image/: the product that is measured — program, script engine and its policy, signed. Without a signer's key named
# by BASTIDE_SIGNER one is made for development, beside the build.
set(BASTIDE_SIGNER ${CMAKE_BINARY_DIR}/signer.key CACHE FILEPATH "the image signer's P-256 key (made when missing)")
set(hub_image ${CMAKE_BINARY_DIR}/hub.image)
add_custom_command(OUTPUT ${hub_image}/manifest
  COMMAND bastide-image --key ${BASTIDE_SIGNER} --product hub --version 1 --out ${hub_image}
    $<TARGET_FILE:hub.enclave> ${CMAKE_BINARY_DIR}/modules/quickjs.so ${CMAKE_BINARY_DIR}/modules/quickjs.policy
  DEPENDS hub.enclave bastide-image quickjs ${CMAKE_BINARY_DIR}/modules/quickjs.so
    ${CMAKE_BINARY_DIR}/modules/quickjs.policy
  COMMENT "image hub" VERBATIM)
add_custom_target(hub_image ALL DEPENDS ${hub_image}/manifest)
