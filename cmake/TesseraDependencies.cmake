# find_package finds the dependencies, so CMAKE_PREFIX_PATH selects any installation (modules, Spack, a CUDA
# LibTorch). See docs/install.md, "Another LibTorch, MPI or HDF5".
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # ccache needs this sloppiness to work with precompiled headers (see ccache's manual).
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()

find_package(Threads REQUIRED)
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
# Debian 12's package has no CMake files.
find_path(LIBDEFLATE_INCLUDE_DIR libdeflate.h REQUIRED)
find_library(LIBDEFLATE_LIBRARY deflate REQUIRED)
mark_as_advanced(LIBDEFLATE_INCLUDE_DIR LIBDEFLATE_LIBRARY)
find_path(HWLOC_INCLUDE_DIR hwloc.h REQUIRED)
find_library(HWLOC_LIBRARY hwloc REQUIRED)
mark_as_advanced(HWLOC_INCLUDE_DIR HWLOC_LIBRARY)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(TIFF REQUIRED)
find_package(PNG REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(Boost REQUIRED COMPONENTS program_options)
find_package(MPI REQUIRED COMPONENTS CXX)
# The CMake files of a CUDA LibTorch require the CUDA toolkit that it was built with, though nothing here is compiled
# for CUDA. TESSERA_LIBTORCH uses the headers and libraries without these files.
set(TESSERA_LIBTORCH "" CACHE PATH "LibTorch's folder (with include and lib), used without its CMake files")
if(TESSERA_LIBTORCH)
  include(TesseraLibTorch)
else()
  find_package(Torch REQUIRED)
endif()

add_library(tessera_libdeflate INTERFACE)
target_link_libraries(tessera_libdeflate INTERFACE ${LIBDEFLATE_LIBRARY})
target_include_directories(tessera_libdeflate SYSTEM INTERFACE ${LIBDEFLATE_INCLUDE_DIR})

add_library(tessera_hwloc INTERFACE)
target_link_libraries(tessera_hwloc INTERFACE ${HWLOC_LIBRARY})
target_include_directories(tessera_hwloc SYSTEM INTERFACE ${HWLOC_INCLUDE_DIR})

add_library(tessera_hdf5 INTERFACE)
target_link_libraries(tessera_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
target_include_directories(tessera_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_compile_definitions(tessera_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})

# Open MPI's deprecated C++ bindings are not used. Without this definition they must be linked.
add_library(tessera_mpi INTERFACE)
target_link_libraries(tessera_mpi INTERFACE MPI::MPI_CXX)
target_compile_definitions(tessera_mpi INTERFACE OMPI_SKIP_MPICXX=1)

if("${TORCH_CXX_FLAGS}" MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
  message(FATAL_ERROR "This LibTorch was built for the old C++ ABI and cannot be linked with the other libraries: use "
    "LibTorch's download with the cxx11 ABI, or PyTorch's Python package from version 2.7 on.")
endif()

# Torch sets its flags as a string for the whole directory. Here they apply only to the targets that use Torch.
add_library(tessera_torch INTERFACE)
target_link_libraries(tessera_torch INTERFACE ${TORCH_LIBRARIES})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # PyTorch's Python package exports its own, older std::filesystem, and the first library in the link order wins. With
  # LibTorch first, remove_all() ended with a segmentation fault.
  target_link_options(tessera_torch INTERFACE LINKER:--push-state,--no-as-needed,-lstdc++,--pop-state)
endif()
find_path(TESSERA_SYSTEM_LIBTORCH ATen/ATen.h PATHS ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES} NO_DEFAULT_PATH)
mark_as_advanced(TESSERA_SYSTEM_LIBTORCH)
if(TESSERA_SYSTEM_LIBTORCH)
  # The system has a LibTorch. It, or another one, is used; the chosen headers must come before the system's.
  target_include_directories(tessera_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
else()
  # PyTorch's Python package includes headers of its own fmt and other libraries. Its folders are searched last, so that
  # the headers and the library of a dependency have the same version.
  foreach(target IN ITEMS torch torch_library torch_cpu torch_cpu_library torch_cuda torch_cuda_library c10 c10_cuda)
    if(TARGET ${target})
      get_target_property(tessera_folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
      if(tessera_folders)
        list(REMOVE_ITEM tessera_folders ${TORCH_INCLUDE_DIRS})
        set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${tessera_folders}")
      endif()
    endif()
  endforeach()
  foreach(folder IN LISTS TORCH_INCLUDE_DIRS)
    target_compile_options(tessera_torch INTERFACE "SHELL:-idirafter ${folder}")
  endforeach()
endif()
separate_arguments(tessera_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(tessera_torch INTERFACE ${tessera_torch_flags})

# Debian's yaml-cpp 0.7 names its target `yaml-cpp`, newer ones `yaml-cpp::yaml-cpp`.
add_library(tessera_yaml INTERFACE)
if(TARGET yaml-cpp::yaml-cpp)
  target_link_libraries(tessera_yaml INTERFACE yaml-cpp::yaml-cpp)
else()
  target_link_libraries(tessera_yaml INTERFACE yaml-cpp)
endif()

# The path and the folder of LibTorch's library.
set(tessera_torch_cpu "")
if(TARGET torch_cpu)
  get_target_property(tessera_torch_configurations torch_cpu IMPORTED_CONFIGURATIONS)
  get_target_property(tessera_torch_cpu torch_cpu IMPORTED_LOCATION)
  foreach(configuration IN LISTS tessera_torch_configurations)
    if(NOT tessera_torch_cpu)
      get_target_property(tessera_torch_cpu torch_cpu IMPORTED_LOCATION_${configuration})
    endif()
  endforeach()
endif()
get_filename_component(tessera_torch_folder "${tessera_torch_cpu}" REALPATH)
get_filename_component(tessera_torch_folder "${tessera_torch_folder}" DIRECTORY)

# oneDNN is the library behind LibTorch's convolutions on the CPU. A prediction is faster when it calls oneDNN directly.
# It must be the same library that LibTorch loads: a second copy in one program would mix symbols. So it is used where
# LibTorch links a shared oneDNN (Debian, Spack), and not where LibTorch contains its own.
set(TESSERA_ONEDNN AUTO CACHE STRING "Predict on oneDNN itself on the CPU: AUTO, ON or OFF")
set(tessera_onednn_usable FALSE)
if(NOT TESSERA_ONEDNN STREQUAL "OFF")
  # oneDNN's own CMake files are not used: Debian's require OpenCL, which nothing here needs.
  find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
  find_library(ONEDNN_LIBRARY dnnl)
  if(ONEDNN_INCLUDE_DIR AND ONEDNN_LIBRARY AND TARGET torch_cpu)
    file(STRINGS ${ONEDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h tessera_onednn_major REGEX "DNNL_VERSION_MAJOR +[0-9]+")
    string(REGEX REPLACE ".*MAJOR +([0-9]+).*" "\\1" tessera_onednn_major "${tessera_onednn_major}")
    find_program(READELF_PROGRAM readelf)
    if(tessera_torch_cpu AND READELF_PROGRAM)
      execute_process(COMMAND ${READELF_PROGRAM} -d ${tessera_torch_cpu} OUTPUT_VARIABLE tessera_needed ERROR_QUIET)
      if(tessera_needed MATCHES "libdnnl\\.so\\.${tessera_onednn_major}[^0-9]")
        set(tessera_onednn_usable TRUE)
      endif()
    endif()
  endif()
  if(TESSERA_ONEDNN STREQUAL "ON" AND NOT tessera_onednn_usable)
    message(FATAL_ERROR "TESSERA_ONEDNN=ON, but there is no oneDNN (libdnnl-dev) that LibTorch itself is linked with")
  endif()
endif()
add_library(tessera_onednn INTERFACE)
if(tessera_onednn_usable)
  target_link_libraries(tessera_onednn INTERFACE ${ONEDNN_LIBRARY})
  target_include_directories(tessera_onednn SYSTEM INTERFACE ${ONEDNN_INCLUDE_DIR})
  target_compile_definitions(tessera_onednn INTERFACE TESSERA_ONEDNN=1)
  message(STATUS "predictions on the CPU: oneDNN ${tessera_onednn_major}.x, as LibTorch")
else()
  message(STATUS "predictions on the CPU: LibTorch's own operators (no shared oneDNN that LibTorch is linked with)")
endif()

# Only CUDA graphs need CUDA's headers and a LibTorch with CUDA. Without them, or with incompatible ones, kernels are
# started one by one. Everything else on a GPU uses LibTorch's device-independent interfaces.
find_path(TESSERA_CUDA_INCLUDE cuda_runtime_api.h HINTS /usr/local/cuda ENV CUDA_HOME PATH_SUFFIXES include
  # PyTorch's Python package installs NVIDIA's packages.
  PATHS ${tessera_torch_folder}/../../nvidia/cuda_runtime ${tessera_torch_folder}/../../nvidia/cu13)
find_library(TESSERA_TORCH_CUDA_LIBRARY torch_cuda PATHS ${tessera_torch_folder} NO_DEFAULT_PATH)
mark_as_advanced(TESSERA_CUDA_INCLUDE TESSERA_TORCH_CUDA_LIBRARY)
set(tessera_cuda_graphs OFF)
if(TESSERA_CUDA_INCLUDE AND TESSERA_TORCH_CUDA_LIBRARY)
  include(CheckCXXSourceCompiles)
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)  # compiled, not linked
  set(CMAKE_REQUIRED_INCLUDES ${TORCH_INCLUDE_DIRS} ${TESSERA_CUDA_INCLUDE})
  set(CMAKE_REQUIRED_FLAGS -std=c++20)
  check_cxx_source_compiles("#include <ATen/cuda/CUDAGraph.h>
    #include <c10/cuda/CUDACachingAllocator.h>
    void record(at::cuda::CUDAGraph& graph) {
      c10::cuda::CUDACachingAllocator::emptyCache();
      graph.capture_begin(at::cuda::graph_pool_handle());
      graph.capture_end();
      graph.replay();
    }" TESSERA_CUDA_GRAPHS_COMPILE)
  check_cxx_source_compiles("#include <ATen/cuda/CUDAGraph.h>
    #include <c10/cuda/CUDACachingAllocator.h>
    void end(at::cuda::MempoolId_t pool) { c10::cuda::CUDACachingAllocator::endAllocateToPool(0, pool); }" TESSERA_CUDA_POOLS_COMPILE)
  unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_FLAGS)
  if(TESSERA_CUDA_GRAPHS_COMPILE)
    set(tessera_cuda_graphs ON)
  endif()
endif()
if(tessera_cuda_graphs)
  message(STATUS "CUDA graphs: with the headers in ${TESSERA_CUDA_INCLUDE}")
elseif(TESSERA_TORCH_CUDA_LIBRARY)
  message(STATUS "CUDA graphs: none; they need cuda_runtime_api.h (TESSERA_CUDA_INCLUDE, here \"${TESSERA_CUDA_INCLUDE}\") that LibTorch's "
    "ATen/cuda/CUDAGraph.h compiles with")
endif()
