# What `cmake --install` puts where. Components: daemon (with its units and manuals), plugins (each by rtd_plugin), dev
# (for plugin authors).
include_guard(GLOBAL)
include(CMakePackageConfigHelpers)

# rtd looks for rtd-host in ../libexec/rtd, after its own folder.
function(install_program name destination)
  if(TARGET ${name})
    install(TARGETS ${name} RUNTIME DESTINATION ${destination} COMPONENT daemon)
    set_property(GLOBAL APPEND PROPERTY RTD_PRODUCTS ${name})
  endif()
endfunction()
install_program(rtd ${CMAKE_INSTALL_SBINDIR})
install_program(rtctl ${CMAKE_INSTALL_BINDIR})
install_program(rtd-host ${CMAKE_INSTALL_LIBEXECDIR}/rtd)
if(TARGET rtd)
  include(install_service)
endif()

# Programs and plugins without tests and benchmarks.
get_property(products GLOBAL PROPERTY RTD_PRODUCTS)
add_custom_target(rtd_products DEPENDS ${products})

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/rtd)
install(DIRECTORY runtime/include/rt DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev FILES_MATCHING PATTERN "*.h")
install(TARGETS rtd_plugin_interface EXPORT rtd_targets COMPONENT dev)
install(EXPORT rtd_targets FILE rtdTargets.cmake NAMESPACE rtd:: DESTINATION ${package_folder} COMPONENT dev)
configure_package_config_file(cmake/rtdConfig.cmake.in ${CMAKE_BINARY_DIR}/package/rtdConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/rtdConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/rtdConfig.cmake ${CMAKE_BINARY_DIR}/package/rtdConfigVersion.cmake
        DESTINATION ${package_folder} COMPONENT dev)

# The pkg-config file names its prefix relative to itself, so that an installed tree can be moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE include_folder)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
           OUTPUT_VARIABLE prefix_from_pkgconfig)
list(JOIN RTD_CODE_OPTIONS " " code_options)
configure_file(cmake/rtd.pc.in ${CMAKE_BINARY_DIR}/package/rtd.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/package/rtd.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
install(FILES docs/man/rt.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT dev)
