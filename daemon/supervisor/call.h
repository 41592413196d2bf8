// One request on the control socket while it is being answered.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/protocol/error.h"
#include "daemon/protocol/methods.h"
#include "daemon/supervisor/peer.h"

namespace rtd::supervisor {

/// The connection that a call came by, as far as methods may use it.
class subscriber {
 public:
  virtual ~subscriber() = default;
  /// Sends a notification; drops and counts it when the client does not read fast enough.
  virtual void notify(std::string_view method, const nlohmann::json& params) = 0;
  /// Keeps `token` until the connection ends: a subscription.
  virtual void keep(std::shared_ptr<void> token) = 0;
};

class call {
 public:
  struct outcome {
    const nlohmann::json* result;  // null: it is an error
    const protocol::rpc_error* error;
  };
  using finisher = std::function<void(call&, const outcome&)>;

  call(const protocol::method_info& method, nlohmann::json params, peer from, protocol::role role,
       std::weak_ptr<subscriber> connection, finisher finish);
  /// A call that nobody answered is answered with an internal error.
  ~call();
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  const protocol::method_info& method() const noexcept { return method_; }
  const peer& from() const noexcept { return from_; }
  protocol::role role() const noexcept { return role_; }

  // Parameters: their types were checked against the method table.
  const nlohmann::json& params() const noexcept { return params_; }
  bool has(std::string_view key) const;
  std::string text(std::string_view key, std::string fallback = {}) const;
  double number(std::string_view key, double fallback) const;
  std::int64_t integer(std::string_view key, std::int64_t fallback) const;
  bool flag(std::string_view key, bool fallback) const;

  /// Answers. The first answer counts.
  void reply(const nlohmann::json& result);
  void fail(const protocol::rpc_error& error);
  void fail(protocol::error_kind kind, const std::string& message, const std::string& hint = {});
  bool answered() const noexcept { return !finish_; }

  /// The connection, while it lives.
  std::shared_ptr<subscriber> connection() const { return connection_.lock(); }

 private:
  const protocol::method_info& method_;
  nlohmann::json params_;
  peer from_;
  protocol::role role_;
  std::weak_ptr<subscriber> connection_;
  finisher finish_;
};

using call_handle = std::shared_ptr<call>;
/// Answers a call, at once or later; an rpc_error that it throws is the answer.
using method_handler = std::function<void(const call_handle&)>;

}  // namespace rtd::supervisor
