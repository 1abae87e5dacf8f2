# What we ask of both compilers. A warning is an error.
add_library(sio_warnings INTERFACE)
target_compile_options(sio_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor
  -Woverloaded-virtual -Wcast-align -Werror)
