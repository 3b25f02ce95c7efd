# What `cmake --install` puts where, and the packages that `cpack` makes.

# Libraries outside of the system's folders (modules, Spack, a CUDA LibTorch) are found by the installed program where
# they were found at the build. The system's own libraries need no path in the program.
set(tessera_foreign_libraries ${MPI_CXX_LIBRARIES} ${HDF5_C_LIBRARIES} ${TIFF_LIBRARIES} ${PNG_LIBRARIES}
    ${LIBDEFLATE_LIBRARY} ${HWLOC_LIBRARY} ${ONEDNN_LIBRARY} ${tessera_torch_cpu})
list(FILTER tessera_foreign_libraries INCLUDE REGEX "^/")
list(FILTER tessera_foreign_libraries EXCLUDE REGEX "^(/usr)?/lib(32|64)?/")
if(tessera_foreign_libraries)
  set_target_properties(tessera PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
endif()

install(TARGETS tessera RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY configs slurm DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera)
install(FILES README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES packaging/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/packaging)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN "make_*" EXCLUDE)
# The pages link to these folders beside them.
file(RELATIVE_PATH tessera_data /p/${CMAKE_INSTALL_DOCDIR} /p/${CMAKE_INSTALL_DATADIR}/tessera)
install(CODE "
  foreach(folder IN ITEMS configs slurm)
    file(CREATE_LINK ${tessera_data}/\${folder} \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR}/\${folder}\" SYMBOLIC)
  endforeach()")

# Manual pages and completions, written by the program from the tables of its verbs and keys.
if(NOT CMAKE_CROSSCOMPILING)
  set(pages ${PROJECT_BINARY_DIR}/pages)
  add_custom_command(OUTPUT ${pages}/written
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${pages}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${pages}/man1 ${pages}/man5 ${pages}/bash ${pages}/zsh
    COMMAND tessera help --man ${pages}
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${pages} -P ${PROJECT_SOURCE_DIR}/cmake/sort-manual-pages.cmake
    COMMAND tessera help --completion bash > ${pages}/bash/tessera
    COMMAND tessera help --completion zsh > ${pages}/zsh/_tessera
    COMMAND ${CMAKE_COMMAND} -E touch ${pages}/written
    DEPENDS tessera ${PROJECT_SOURCE_DIR}/cmake/sort-manual-pages.cmake
    COMMENT "Writing manual pages and completions" VERBATIM)
  add_custom_target(tessera_pages ALL DEPENDS ${pages}/written)
  # Debian's packages have a folder of their own for zsh.
  set(tessera_zsh_folder site-functions)
  if(EXISTS /etc/debian_version)
    set(tessera_zsh_folder vendor-completions)
  endif()
  set(TESSERA_ZSH_FOLDER ${CMAKE_INSTALL_DATADIR}/zsh/${tessera_zsh_folder} CACHE STRING "Folder of the completion for zsh")
  mark_as_advanced(TESSERA_ZSH_FOLDER)
  install(DIRECTORY ${pages}/man1 ${pages}/man5 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(FILES ${pages}/bash/tessera DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${pages}/zsh/_tessera DESTINATION ${TESSERA_ZSH_FOLDER})
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tessera)
set(CPACK_PACKAGE_VENDOR "Tessera")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION "Tessera trains U-Nets on electron-microscopy sections and predicts
whole serial-section stacks on one machine or, by MPI and Slurm, on many.
Results have no seams, and are the same after any interruption.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(TESSERA_MAINTAINER "Tessera developers <tessera@packages.invalid>" CACHE STRING "Maintainer of the packages: NAME <ADDRESS>")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${TESSERA_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
# The libraries' packages and their versions, from the program.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# mpirun; and a fast BLAS, because LibTorch falls back to a slow one.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin, libopenblas0-pthread")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "slurm-client, python3-h5py")
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/deb/complete.cmake)
include(CPack)
