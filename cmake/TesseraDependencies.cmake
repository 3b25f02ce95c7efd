# Every dependency is looked up with find_package, so CMAKE_PREFIX_PATH points the build at any
# installation (modules, Spack, a CUDA LibTorch). See README.md, "Another LibTorch, MPI or HDF5".
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # The sloppiness lets ccache work beside precompiled headers (see ccache's manual).
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()

find_package(Threads REQUIRED)
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(TIFF REQUIRED)
find_package(PNG REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(Boost REQUIRED COMPONENTS program_options)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(Torch REQUIRED)

add_library(tessera_hdf5 INTERFACE)
target_link_libraries(tessera_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
target_include_directories(tessera_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_compile_definitions(tessera_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})

# The deprecated C++ bindings of Open MPI are not used; without this they must be linked.
add_library(tessera_mpi INTERFACE)
target_link_libraries(tessera_mpi INTERFACE MPI::MPI_CXX)
target_compile_definitions(tessera_mpi INTERFACE OMPI_SKIP_MPICXX=1)

if("${TORCH_CXX_FLAGS}" MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
  message(FATAL_ERROR "This LibTorch was built for the old C++ ABI and cannot be linked with the other libraries: use "
    "LibTorch's download with the cxx11 ABI, or PyTorch's Python package from version 2.7 on.")
endif()

# Torch's own flags come as a string for the whole directory; here they reach our targets only.
add_library(tessera_torch INTERFACE)
target_link_libraries(tessera_torch INTERFACE ${TORCH_LIBRARIES})
target_include_directories(tessera_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
separate_arguments(tessera_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(tessera_torch INTERFACE ${tessera_torch_flags})

# Debian's yaml-cpp 0.7 names its target `yaml-cpp`, newer ones `yaml-cpp::yaml-cpp`.
add_library(tessera_yaml INTERFACE)
if(TARGET yaml-cpp::yaml-cpp)
  target_link_libraries(tessera_yaml INTERFACE yaml-cpp::yaml-cpp)
else()
  target_link_libraries(tessera_yaml INTERFACE yaml-cpp)
endif()
