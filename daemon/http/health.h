// Answers of /livez and /readyz: the HTTP status is the contract for machines, the text is for people.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/http/message.h"
#include "daemon/http/server.h"

namespace rtd::http {

/// One thing that must be well.
struct health_check {
  std::string name;  ///< "sandbox-default"
  bool ok = false;
  std::string detail;  ///< why not, or a word about it; may be empty
};

/// 200 when all checks are ok, else 503. The body is "ok" or "failed: a, b"; with `verbose` one line for each check and
/// the verdict at the end.
response health_response(std::string_view what, const std::vector<health_check>& checks, bool verbose);

/// Registers `path`, which answers health_response of what `checks` returns; "?verbose" asks for the list.
void route_health(server& to, std::string path, std::function<std::vector<health_check>()> checks);

}  // namespace rtd::http
