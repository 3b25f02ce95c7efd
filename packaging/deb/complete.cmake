# Run by cpack between installing and packing: what Debian's policy asks for beside the installed files.
if(NOT CPACK_GENERATOR STREQUAL "DEB")
  return()
endif()
set(documentation ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/doc/tessera)
file(COPY ${CMAKE_CURRENT_LIST_DIR}/copyright DESTINATION ${documentation})
file(REMOVE ${documentation}/LICENSE)  # `copyright` has it
file(COPY ${CMAKE_CURRENT_LIST_DIR}/changelog DESTINATION ${documentation})
file(RENAME ${documentation}/changelog ${documentation}/changelog.Debian)
file(RENAME ${documentation}/CHANGELOG.md ${documentation}/changelog)
execute_process(COMMAND gzip -9n ${documentation}/changelog ${documentation}/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)
# Folders and files as a system's packages have them, whatever umask the build had.
execute_process(COMMAND chmod -R u=rwX,go=rX ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr COMMAND_ERROR_IS_FATAL ANY)
