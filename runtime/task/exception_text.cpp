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
// Exceptions within exceptions; more say nothing that a reader could use.
constexpr int most_levels = 8;

std::string current_type_name() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "an exception of a foreign language";
  std::string name = demangled(type->name());
  // std::throw_with_nested derives a class of the library's own from what authors have written.
  constexpr std::string_view wrapper = "std::_Nested_exception<";
  if (name.starts_with(wrapper) && name.back() == '>')
    name = name.substr(wrapper.size(), name.size() - wrapper.size() - 1);
  return name;
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

// The exception alone; `cause` gets what is nested in it.
static std::string text_of_one(const std::exception_ptr& error, std::exception_ptr& cause) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    if (const auto* outer = dynamic_cast<const std::nested_exception*>(&exception)) cause = outer->nested_ptr();
    const char* what = exception.what();
    return current_type_name() + ": " + (what == nullptr ? "" : what);
  } catch (const std::nested_exception& outer) {
    cause = outer.nested_ptr();
    return "an exception of type " + current_type_name();
  } catch (const std::string& text) {
    return "std::string: " + text;
  } catch (const char* text) {
    return std::string("const char*: ") + (text == nullptr ? "null" : text);
  } catch (...) {
    return "an exception of type " + current_type_name();
  }
}

std::string exception_text(const std::exception_ptr& error) {
  if (error == nullptr) return "no exception";
  std::string text;
  std::exception_ptr next = error;
  for (int level = 0; next != nullptr && level < most_levels; ++level) {
    std::exception_ptr cause;
    if (level > 0) text += "; caused by ";
    text += text_of_one(next, cause);
    next = cause;
  }
  return printable_text(text, most_bytes);
}

}  // namespace rt::detail
