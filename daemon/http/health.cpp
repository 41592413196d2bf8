#include "daemon/http/health.h"

namespace rtd::http {

response health_response(std::string_view what, const std::vector<health_check>& checks, bool verbose) {
  std::string failed;
  std::string list;
  bool ok = true;
  for (const health_check& check : checks) {
    list.append(check.ok ? "[+] " : "[-] ").append(check.name).append(check.ok ? ": ok" : ": failed");
    if (!check.detail.empty()) list.append(", ").append(check.detail);
    list += '\n';
    if (check.ok) continue;
    ok = false;
    failed.append(failed.empty() ? "" : ", ").append(check.name);
  }
  std::string verdict(verbose ? std::string(what) + ": " : "");
  verdict += ok ? "ok" : "failed: " + failed;
  response answer = text_response(ok ? 200 : 503, verdict);
  if (verbose) answer.body.insert(0, list);
  answer.headers.emplace_back("Cache-Control", "no-store");
  return answer;
}

void route_health(server& to, std::string path, std::function<std::vector<health_check>()> checks) {
  std::string what = path.substr(path.rfind('/') + 1);
  to.route(std::move(path),
           [what = std::move(what), checks = std::move(checks)](const request& asked, responder reply) {
             reply.answer(health_response(what, checks(), asked.query_value("verbose").has_value()));
           });
}

}  // namespace rtd::http
