#include "daemon/supervisor/io/readiness.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace rtd::supervisor {

struct readiness::state {
  state(loop& on, std::function<void()> action) : descriptor(on.context()), ready(std::move(action)) {}
  boost::asio::posix::stream_descriptor descriptor;
  std::function<void()> ready;
};

readiness::readiness(loop& on, sandbox::descriptor from, std::function<void()> ready)
    : state_(std::make_shared<state>(on, std::move(ready))) {
  state_->descriptor.assign(from.release());
}

readiness::~readiness() {
  state_->ready = nullptr;
  boost::system::error_code ignored;
  state_->descriptor.close(ignored);
}

void readiness::rearm() {
  state_->descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                [state = state_](const boost::system::error_code& error) {
                                  // A copy: the callback may destroy the object and with it the original.
                                  const auto ready = state->ready;
                                  if (!error && ready) ready();
                                });
}

int readiness::get() const noexcept { return state_->descriptor.native_handle(); }

}  // namespace rtd::supervisor
