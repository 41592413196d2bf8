#include "runtime/task/exception_text.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <string_view>
#include <typeinfo>

#include "runtime/task/printable_text.h"

namespace rt::detail {

namespace {

constexpr std::size_t most_bytes = 4096;

std::string current_type_name() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type == nullptr ? std::string("an exception of a foreign language") : demangled(type->name());
}

}  // namespace

std::string demangled(const char* name) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  if (status != 0 || text == nullptr) return name;
  // A tag of the library's ABI, which authors have not written.
  constexpr std::string_view tag = "[abi:cxx11]";
  std::string result = text.get();
  for (std::size_t at = result.find(tag); at != std::string::npos; at = result.find(tag, at))
    result.erase(at, tag.size());
  return result;
}

std::string exception_text(const std::exception_ptr& error) {
  if (error == nullptr) return "no exception";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    const char* what = exception.what();
    return printable_text(current_type_name() + ": " + (what == nullptr ? "" : what), most_bytes);
  } catch (const std::string& text) {
    return printable_text("std::string: " + text, most_bytes);
  } catch (const char* text) {
    return printable_text(std::string("const char*: ") + (text == nullptr ? "null" : text), most_bytes);
  } catch (...) {
    return printable_text("an exception of type " + current_type_name(), most_bytes);
  }
}

}  // namespace rt::detail
