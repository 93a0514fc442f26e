# The module quickjs: fetched by the lock file's hash, put through the module build, beside its policy in modules/.
set(quickjs_npm ${CMAKE_BINARY_DIR}/npm/script)
add_custom_command(OUTPUT ${quickjs_npm}/node_modules/quickjs-wasi/quickjs.wasm
  COMMAND ${CMAKE_COMMAND} -E make_directory ${quickjs_npm}
  COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/enclave/script/package.json
    ${CMAKE_SOURCE_DIR}/enclave/script/package-lock.json ${quickjs_npm}
  COMMAND npm ci --prefix ${quickjs_npm} --ignore-scripts --no-audit --no-fund --loglevel=error
  COMMAND ${CMAKE_COMMAND} -E touch ${quickjs_npm}/node_modules/quickjs-wasi/quickjs.wasm
  DEPENDS ${CMAKE_SOURCE_DIR}/enclave/script/package.json ${CMAKE_SOURCE_DIR}/enclave/script/package-lock.json
  COMMENT "npm ci quickjs-wasi" VERBATIM)
guest_module(quickjs ${quickjs_npm}/node_modules/quickjs-wasi/quickjs.wasm)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/modules/quickjs.policy
  COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/enclave/script/quickjs.policy
    ${CMAKE_BINARY_DIR}/modules/quickjs.policy
  DEPENDS ${CMAKE_SOURCE_DIR}/enclave/script/quickjs.policy module_quickjs VERBATIM)
add_custom_target(quickjs ALL DEPENDS module_quickjs ${CMAKE_BINARY_DIR}/modules/quickjs.policy)
