#include "daemon/supervisor/io/timer.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <utility>

namespace rtd::supervisor {

struct timer::state {
  explicit state(loop& on) : timer(on.context()) {}
  boost::asio::steady_timer timer;
  std::uint64_t generation = 0;  // a wait of an older generation was cancelled, even if it completes
  std::function<void()> action;
};

timer::timer(loop& on) : state_(std::make_shared<state>(on)) {}

timer::~timer() {
  if (state_) cancel();
}

timer::timer(timer&&) noexcept = default;

timer& timer::operator=(timer&& other) noexcept {
  if (this != &other) {
    if (state_) cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

void timer::start(std::chrono::nanoseconds delay, std::function<void()> action) {
  cancel();
  state_->action = std::move(action);
  state_->timer.expires_after(std::chrono::duration_cast<clock::duration>(delay));
  state_->timer.async_wait([state = state_, generation = state_->generation](const boost::system::error_code&) {
    if (generation != state->generation) return;
    auto action_now = std::exchange(state->action, nullptr);
    ++state->generation;
    if (action_now) action_now();
  });
}

void timer::cancel() {
  ++state_->generation;
  state_->action = nullptr;
  state_->timer.cancel();
}

bool timer::running() const noexcept { return static_cast<bool>(state_->action); }

clock::time_point timer::due() const noexcept { return state_->timer.expiry(); }

}  // namespace rtd::supervisor
