// Exceptions of plugins, as text.
#pragma once

#include <exception>
#include <string>

namespace rt::detail {

/// The type's name and, for a std::exception, what it says: "std::runtime_error: no such target". What is nested in it
/// (std::throw_with_nested) follows after "; caused by ". Printable, at most 4 KiB. Needs what the exception's type is
/// made of, so its plugin must still be loaded. "no exception" for null.
std::string exception_text(const std::exception_ptr& error);

/// A name of the compiler ("_ZN2rt3runE…") as the author wrote it; the name itself when it is none.
std::string demangled(const char* name);

}  // namespace rt::detail
