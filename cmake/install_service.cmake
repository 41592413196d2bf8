# What the daemon needs beside its programs: units and accounts for systemd, a configuration, manuals, completion.
include_guard(GLOBAL)

# configured(FILE DESTINATION NAME): FILE with the paths of this installation in it.
function(configured file destination name)
  set(rtd ${CMAKE_INSTALL_FULL_SBINDIR}/rtd)
  set(rtctl ${CMAKE_INSTALL_FULL_BINDIR}/rtctl)
  set(sysconfdir ${CMAKE_INSTALL_FULL_SYSCONFDIR})
  set(schema ${CMAKE_INSTALL_FULL_DATADIR}/rtd/rtd.schema.json)
  set(plugins ${CMAKE_INSTALL_PREFIX}/lib/rtd/plugins)
  configure_file(${file} ${CMAKE_BINARY_DIR}/package/${name} @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/package/${name} DESTINATION ${destination} COMPONENT daemon)
endfunction()

# systemd looks into these folders below /usr and below /usr/local. Debian 12 keeps units in /lib.
set(RTD_UNIT_DIR lib/systemd/system CACHE STRING "where units are installed")
configured(packaging/systemd/rtd.service.in ${RTD_UNIT_DIR} rtd.service)
install(FILES packaging/systemd/rtd.socket packaging/systemd/rtd-metrics.socket DESTINATION ${RTD_UNIT_DIR}
        COMPONENT daemon)
install(FILES packaging/systemd/rtd.sysusers DESTINATION lib/sysusers.d RENAME rtd.conf COMPONENT daemon)
install(FILES packaging/systemd/rtd.tmpfiles DESTINATION lib/tmpfiles.d RENAME rtd.conf COMPONENT daemon)
configured(packaging/systemd/rtd.json.in ${CMAKE_INSTALL_FULL_SYSCONFDIR}/rtd rtd.json)
install(FILES config/rtd.schema.json packaging/systemd/network.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/rtd
        COMPONENT daemon)

install(FILES docs/man/rtd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT daemon)
install(FILES docs/man/rtctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT daemon)
set(manual ${CMAKE_BINARY_DIR}/package/rtd.json.5)
set(manual_sources ${RTD_SOURCE_ROOT}/cmake/configuration_manual.py ${RTD_SOURCE_ROOT}/config/rtd.schema.json
                   ${RTD_SOURCE_ROOT}/docs/man/rtd.json.5.in)
add_custom_command(OUTPUT ${manual} COMMAND python3 -B ${manual_sources} ${manual} DEPENDS ${manual_sources} VERBATIM)
add_custom_target(rtd_manual ALL DEPENDS ${manual})
set_property(GLOBAL APPEND PROPERTY RTD_PRODUCTS rtd_manual)
install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT daemon)

# rtctl prints its completion scripts itself.
if(TARGET rtctl AND NOT CMAKE_CROSSCOMPILING)
  set(scripts "")
  foreach(shell bash zsh fish)
    set(script ${CMAKE_BINARY_DIR}/package/completion.${shell})
    add_custom_command(OUTPUT ${script} COMMAND rtctl completion ${shell} > ${script} DEPENDS rtctl VERBATIM)
    list(APPEND scripts ${script})
  endforeach()
  add_custom_target(rtd_completion ALL DEPENDS ${scripts})
  set_property(GLOBAL APPEND PROPERTY RTD_PRODUCTS rtd_completion)
  install(FILES ${CMAKE_BINARY_DIR}/package/completion.bash RENAME rtctl
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT daemon)
  install(FILES ${CMAKE_BINARY_DIR}/package/completion.zsh RENAME _rtctl
          DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT daemon)
  install(FILES ${CMAKE_BINARY_DIR}/package/completion.fish RENAME rtctl.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT daemon)
endif()
