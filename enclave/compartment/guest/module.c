/* Compiled with MODULE_SOURCE naming wasm2c's output: that code, and what the run-time linker must know besides. */
#include MODULE_SOURCE

/* The version that load.c expects, and the room that one instance's globals take. */
const u32 bastide_module[2] = {1, sizeof(Z_module_instance_t)};
