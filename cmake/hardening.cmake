# What makes a fault in a program that strangers talk to hard to use. tests/integration/gateway_hardening.mjs reads it from
# the programs.

# Whatever the build: position-independent (objects are, by default of Debian's compilers), relocations that are done at
# the start and read-only then, and no stack that can be run.
add_link_options(-pie LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)

# Of the code in src/; not with a sanitizer, which looks at the same and more. FORTIFY asks for an optimized build. Shadow
# stacks are marked by hand: the C library's own start files have no mark, which would take it from the whole program.
# It costs about 90 instructions more for each delivery (521 before) of some 5 us, most of which the kernel spends; the bench
# fanout-1000 varies by more than that.
add_library(sio_hardening INTERFACE)
if(NOT SIO_SANITIZE AND NOT SIO_FUZZ)
  set(optimized "$<NOT:$<CONFIG:Debug>>")
  target_compile_options(sio_hardening INTERFACE -fstack-protector-strong -fstack-clash-protection
    "$<${optimized}:-U_FORTIFY_SOURCE>" "$<${optimized}:-D_FORTIFY_SOURCE=3>" -D_GLIBCXX_ASSERTIONS)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    target_compile_options(sio_hardening INTERFACE -fcf-protection=full)
    target_link_options(sio_hardening INTERFACE LINKER:-z,shstk)
  elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
    target_compile_options(sio_hardening INTERFACE -mbranch-protection=standard)
  endif()
endif()
