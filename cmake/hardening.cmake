# What programs that strangers talk to are linked with, whatever the build: position-independent (objects are, by default of
# Debian's compilers), relocations that are done at the start and read-only then, and no stack that can be run.
# tests/integration/gateway_hardening.mjs reads them from the programs.
add_link_options(-pie LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
