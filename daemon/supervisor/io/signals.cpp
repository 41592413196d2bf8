#include "daemon/supervisor/io/signals.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace rtd::supervisor {

struct signals::state : std::enable_shared_from_this<signals::state> {
  state(loop& on, std::function<void(int)> call) : set(on.context()), action(std::move(call)) {}
  boost::asio::signal_set set;
  std::function<void(int)> action;

  void wait() {
    set.async_wait([self = shared_from_this()](const boost::system::error_code& error, int number) {
      if (error || !self->action) return;
      self->wait();
      const auto action_now = self->action;
      action_now(number);
    });
  }
};

signals::signals(loop& on, std::initializer_list<int> numbers, std::function<void(int)> action)
    : state_(std::make_shared<state>(on, std::move(action))) {
  for (const int number : numbers) state_->set.add(number);
  state_->wait();
}

signals::~signals() {
  state_->action = nullptr;
  boost::system::error_code ignored;
  state_->set.cancel(ignored);
}

}  // namespace rtd::supervisor
