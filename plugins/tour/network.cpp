// The network poller: a green thread for each connection.
#include <string>
#include <system_error>

#include "say.h"

namespace {

using tour::say;

void answer(rt::net::conn connection, rt::duration delay) {
  rt::sleep_for(delay);
  std::error_code error;
  connection.write("Hello from server\n", error);  // a client that has gone is its own affair
  connection.shutdown_write(error);
}

void tcp_server(rt::task& self) {
  std::string address = self.param("listen", "127.0.0.1:8080");
  rt::duration delay = self.param_duration("delay", std::chrono::milliseconds(100));
  rt::duration interval = self.param_duration("interval", std::chrono::seconds(1));
  rt::net::listener listener = rt::net::listen("tcp", address);
  say(self, "listening on %s", listener.address().c_str());
  self.set_status("listening on " + listener.address());
  rt::go([&self, interval] {
    rt::ticker each(interval);
    while (true) {
      each.channel().recv();
      rt::runtime_stats now = rt::read_stats();
      say(self, "green threads %llu, %llu of them wait for a socket",
          static_cast<unsigned long long>(now.green_threads),
          static_cast<unsigned long long>(now.net_waiting_readers + now.net_waiting_writers));
    }
  });
  while (true) rt::go(answer, listener.accept(), delay);
}

}  // namespace

RT_ENTRY(tcp_server, "Answers each connection after a pause, until it is stopped; params: listen, delay, interval")
