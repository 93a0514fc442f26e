# vtpm.image/: the product that is measured — one program and no module, signed with the key that hub/image.cmake names.
set(vtpm_image ${CMAKE_BINARY_DIR}/vtpm.image)
stripped(vtpm.enclave)
add_custom_command(OUTPUT ${vtpm_image}/manifest
  COMMAND bastide-image --key ${BASTIDE_SIGNER} --product vtpm --version 1 --out ${vtpm_image}
    ${CMAKE_BINARY_DIR}/stripped/vtpm.enclave
  DEPENDS ${CMAKE_BINARY_DIR}/stripped/vtpm.enclave bastide-image hub_image COMMENT "image vtpm" VERBATIM)
add_custom_target(vtpm_image ALL DEPENDS ${vtpm_image}/manifest)
