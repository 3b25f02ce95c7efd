# Sets what LibTorch's own CMake files would set, from the files in TESSERA_LIBTORCH alone: TORCH_LIBRARIES,
# TORCH_INCLUDE_DIRS, TORCH_CXX_FLAGS and the target torch_cpu.
foreach(name IN ITEMS torch torch_cpu c10)
  find_library(TESSERA_LIBTORCH_${name} ${name} PATHS ${TESSERA_LIBTORCH}/lib NO_DEFAULT_PATH)
  if(NOT TESSERA_LIBTORCH_${name})
    message(FATAL_ERROR "TESSERA_LIBTORCH=${TESSERA_LIBTORCH}: there is no lib/lib${name}.so")
  endif()
endforeach()
if(NOT EXISTS ${TESSERA_LIBTORCH}/include/ATen/ATen.h)
  message(FATAL_ERROR "TESSERA_LIBTORCH=${TESSERA_LIBTORCH}: there is no include/ATen/ATen.h")
endif()
set(TORCH_INCLUDE_DIRS ${TESSERA_LIBTORCH}/include ${TESSERA_LIBTORCH}/include/torch/csrc/api/include)
set(TORCH_CXX_FLAGS "")
add_library(torch_cpu SHARED IMPORTED)
set_target_properties(torch_cpu PROPERTIES IMPORTED_LOCATION ${TESSERA_LIBTORCH_torch_cpu})
set(TORCH_LIBRARIES ${TESSERA_LIBTORCH_torch} torch_cpu ${TESSERA_LIBTORCH_c10})
# The folder may hold links to the libraries, and only to some of them (Debian's python3-torch-cuda).
get_filename_component(tessera_torch_folder ${TESSERA_LIBTORCH_torch_cpu} REALPATH)
get_filename_component(tessera_torch_folder ${tessera_torch_folder} DIRECTORY)
foreach(name IN ITEMS torch_cuda c10_cuda)
  find_library(TESSERA_LIBTORCH_${name} ${name} PATHS ${TESSERA_LIBTORCH}/lib ${tessera_torch_folder} NO_DEFAULT_PATH)
  if(TESSERA_LIBTORCH_${name})
    # Nothing calls it by name: it registers its kernels when it is loaded. The linker must not drop it.
    list(APPEND TORCH_LIBRARIES "-Wl,--no-as-needed,${TESSERA_LIBTORCH_${name}},--as-needed")
  endif()
endforeach()
# LibTorch finds its own dependencies (CUDA's libraries) when the program starts.
list(APPEND TORCH_LIBRARIES -Wl,--allow-shlib-undefined -Wl,-rpath,${TESSERA_LIBTORCH}/lib)
message(STATUS "LibTorch: ${TESSERA_LIBTORCH}, without its CMake files")
