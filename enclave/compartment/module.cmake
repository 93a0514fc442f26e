# guest_module(name wasm [DEPENDS …]): ${CMAKE_BINARY_DIR}/modules/name.so, a WebAssembly module made native for the
# run-time linker. A .wat is assembled first. The target module_<name> builds it.
function(guest_module name source)
  cmake_parse_arguments(GUEST "" "" "DEPENDS" ${ARGN})
  set(build ${CMAKE_SOURCE_DIR}/enclave/compartment/build-module.sh)
  set(object ${CMAKE_BINARY_DIR}/modules/${name}.so)
  set(wasm ${source})
  set(assemble "")
  if(source MATCHES "\\.wat$")
    set(wasm ${CMAKE_BINARY_DIR}/modules/${name}.wasm)
    set(assemble COMMAND wat2wasm ${source} -o ${wasm})
  endif()
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/modules
    ${assemble}
    COMMAND ${build} ${wasm} ${object}
    DEPENDS ${source} ${GUEST_DEPENDS} ${build} ${CMAKE_SOURCE_DIR}/enclave/compartment/guest/module.c
    COMMENT "compartment module ${name}" VERBATIM)
  add_custom_target(module_${name} DEPENDS ${object})
endfunction()
