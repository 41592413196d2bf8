#include "daemon/http/server.h"

#include <unistd.h>

#include "daemon/http/connection.h"
#include "daemon/http/listening.h"
#include "daemon/http/server_core.h"

namespace rtd::http {

void responder::answer(response answer) const noexcept { pending_->answer(std::move(answer)); }

bool responder::wanted() const noexcept { return pending_->wanted(); }

server::server(boost::asio::io_context& loop, limits bounds)
    : core_(std::make_shared<detail::server_core>(loop, bounds)) {}

server::~server() { core_->close_all(); }

void server::route(std::string path, handler handle, std::vector<std::string> methods) {
  core_->add_route({std::move(path), std::move(handle), std::move(methods)});
}

void server::listen(std::string_view address) { core_->add_listener(open_listener(address)); }

void server::adopt(int descriptor) {
  try {
    check_listener(descriptor);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  core_->add_listener(descriptor);
}

std::vector<std::string> server::addresses() const { return core_->addresses(); }

void server::close_listeners() { core_->close_listeners(); }

void server::on_request(std::function<void(const observation&)> observer) { core_->observer = std::move(observer); }

void server::on_problem(std::function<void(std::string_view)> report) { core_->problem = std::move(report); }

void server::stop(std::chrono::milliseconds grace, std::function<void()> done) { core_->stop(grace, std::move(done)); }

connection_counts server::counts() const noexcept { return core_->counts(); }

}  // namespace rtd::http
