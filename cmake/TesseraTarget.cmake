# tessera_library(NAME SOURCES ... HEADERS ... LINK ...)
# Adds one storey's library, `tessera::NAME`. Include paths start at the repository's root. The headers form a file
# set, so that the target `all_verify_interface_header_sets` compiles each of them alone.
function(tessera_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;LINK" ${ARGN})
  add_library(tessera_${name} STATIC ${ARG_SOURCES})
  add_library(tessera::${name} ALIAS tessera_${name})
  target_sources(tessera_${name} PUBLIC FILE_SET HEADERS
                 BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ARG_HEADERS})
  target_link_libraries(tessera_${name} PUBLIC ${ARG_LINK})
  set_target_properties(tessera_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  tessera_compile_options(tessera_${name})
endfunction()

# Compile options of all Tessera targets.
function(tessera_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor)
  if(TESSERA_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(TESSERA_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=address,undefined -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()
