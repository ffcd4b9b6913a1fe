# Installs the library with its headers, for find_package(knee) and for pkg-config, and the programs. Left out with
# `add_subdirectory(knee EXCLUDE_FROM_ALL)`.
include(CMakePackageConfigHelpers)

install(TARGETS knee EXPORT kneeTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY client/include/knee DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set(knee_cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/knee)
install(EXPORT kneeTargets NAMESPACE knee:: DESTINATION ${knee_cmake_folder})
configure_package_config_file(cmake/kneeConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/kneeConfig.cmake
  INSTALL_DESTINATION ${knee_cmake_folder} NO_SET_AND_CHECK_MACRO)
# Until 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/kneeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/kneeConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/kneeConfigVersion.cmake
  DESTINATION ${knee_cmake_folder})

if(NOT KNEE_SHARED)
  set(knee_pc_archives "-lcapnp-rpc -lcapnp -lkj-async -lkj -lcrypto")
endif()
# Paths from the file itself, so that the installed tree may be moved.
file(RELATIVE_PATH knee_pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
cmake_path(APPEND knee_pc_includedir "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
cmake_path(APPEND knee_pc_libdir "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
configure_file(cmake/knee.pc.in ${CMAKE_CURRENT_BINARY_DIR}/knee.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/knee.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
