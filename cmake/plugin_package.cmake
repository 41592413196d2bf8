# rtd::plugin, what a plugin is compiled with: in this tree, and outside it by find_package(rtd).
include_guard(GLOBAL)

add_library(rtd_plugin_interface INTERFACE)
add_library(rtd::plugin ALIAS rtd_plugin_interface)
set_target_properties(rtd_plugin_interface PROPERTIES EXPORT_NAME plugin)
target_include_directories(rtd_plugin_interface INTERFACE $<BUILD_INTERFACE:${RTD_SOURCE_ROOT}/runtime/include>
                                                          $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(rtd_plugin_interface INTERFACE cxx_std_20)
# GNU-unique symbols would bind templates' statics of different plugins together and keep a plugin from being unloaded.
target_compile_options(rtd_plugin_interface INTERFACE -fPIC ${RTD_CODE_OPTIONS}
                                                      $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
