# tessera_library(NAME SOURCES ... HEADERS ... LINK ...)
# Adds one storey's library, `tessera::NAME`. Include paths start at the repository's root.
function(tessera_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;LINK" ${ARGN})
  add_library(tessera_${name} STATIC ${ARG_SOURCES})
  add_library(tessera::${name} ALIAS tessera_${name})
  target_sources(tessera_${name} PUBLIC FILE_SET HEADERS
                 BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ARG_HEADERS})
  target_link_libraries(tessera_${name} PUBLIC ${ARG_LINK})
  tessera_compile_options(tessera_${name})
endfunction()

# tessera_unity(TARGET), after the last source and property of TARGET
# With TESSERA_UNITY, the sources of each folder are compiled together, without a precompiled header. Most of the time of
# a source is that of the headers that it includes. CMake leaves sources with compile options of their own alone.
function(tessera_unity target)
  if(NOT TESSERA_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME folder)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP "${target}_${folder}")
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP DISABLE_PRECOMPILE_HEADERS ON)
endfunction()

# tessera_precompiled_torch(TARGET): the precompiled header of the workers library, where there is one.
function(tessera_precompiled_torch target)
  if(NOT TESSERA_UNITY)
    target_precompile_headers(${target} REUSE_FROM tessera_workers)
  endif()
endfunction()

# Compile options of all Tessera targets.
function(tessera_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # With -O3, GCC 12 warns of "text" + string, and of members that a thrown exception leaves behind
    # (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651). The other builds keep both warnings, as errors.
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-Wno-restrict>
                                             $<$<CONFIG:Release>:-Wno-maybe-uninitialized>)
  endif()
  if(TESSERA_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(TESSERA_SANITIZE STREQUAL "thread")
    set(sanitizers -fsanitize=thread)
  elseif(TESSERA_SANITIZE STREQUAL "address")
    # Undefined behaviour ends the program, as a wrong address does: a finding must fail its test.
    set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  elseif(TESSERA_SANITIZE)
    message(FATAL_ERROR "TESSERA_SANITIZE=${TESSERA_SANITIZE}: address, thread or empty")
  endif()
  if(TESSERA_SANITIZE)
    target_compile_options(${target} PUBLIC ${sanitizers} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC ${sanitizers})
  endif()
endfunction()
