#include "daemon/ctl/command_context.h"

#include <algorithm>

namespace rtd::ctl {

rpc_client& command_context::client() {
  if (!client_) client_.emplace(connection::open(socket_, request_limit()), request_limit());
  return *client_;
}

nlohmann::json command_context::call(std::string_view method, const nlohmann::json& params) {
  return client().call(method, params, request_limit());
}

nlohmann::json command_context::call_and_wait(std::string_view method, const nlohmann::json& params) {
  deadline limit;
  if (timeout_ && *timeout_ > 0)
    limit = start_ + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                         std::chrono::duration<double>(std::min(*timeout_, 1e9)));
  return client().call(method, params, limit);
}

}  // namespace rtd::ctl
