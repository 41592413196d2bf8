#include "daemon/supervisor/io/loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace rtd::supervisor {

loop::loop() : context_(std::make_unique<boost::asio::io_context>(1)) {}

loop::~loop() = default;

void loop::run() {
  const auto keep_going = boost::asio::make_work_guard(*context_);
  context_->run();
}

void loop::stop() { context_->stop(); }

void loop::post(std::function<void()> action) { boost::asio::post(*context_, std::move(action)); }

}  // namespace rtd::supervisor
