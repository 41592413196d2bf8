# Writes a C++ source with the text of the schema in it: cmake -DSCHEMA=… -DSOURCE=… -P embed_schema.cmake
file(READ ${SCHEMA} text)
string(FIND "${text}" ")schema\"" found)
if(NOT found EQUAL -1)
  message(FATAL_ERROR "${SCHEMA} contains what ends the raw string literal that it is put in")
endif()
file(WRITE ${SOURCE} "#include \"daemon/config/schema.h\"

namespace rtd::config {

std::string_view schema_text() noexcept { return R\"schema(${text})schema\"; }

}  // namespace rtd::config
")
