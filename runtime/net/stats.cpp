#include "runtime/net/stats.h"

#include "runtime/net/descriptor_table.h"
#include "runtime/net/epoll_poller.h"

namespace rt::net::detail {

net_totals read_net_totals() noexcept {
  net_totals figures;
  figures.descriptors = shared_descriptors().in_use();
  const epoll_poller* poller = shared_poller_if_made();
  if (poller == nullptr) return figures;
  figures.waiting_readers = poller->waiters(direction::read);
  figures.waiting_writers = poller->waiters(direction::write);
  figures.polls = poller->polls();
  figures.events = poller->events();
  return figures;
}

}  // namespace rt::net::detail
