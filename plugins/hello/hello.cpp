// hello: a green thread for each TCP connection, which is greeted after a pause.
#include <rt/rt.h>

#include <string>
#include <system_error>

namespace {

void greet(rt::net::conn connection, rt::duration pause, const std::string& text, rt::counter greeted,
           rt::gauge connections) {
  struct count_open {
    rt::gauge gauge;
    explicit count_open(rt::gauge of) : gauge(of) { gauge.add(1); }
    ~count_open() { gauge.add(-1); }
  } open(connections);
  rt::sleep_for(pause);
  std::error_code error;
  connection.write(text, error);
  if (error) return;  // the client has gone: its own affair
  greeted.add();
  connection.shutdown_write(error);
}

rt::net::listener listen(const std::string& address) {
  try {
    return rt::net::listen("tcp", address);
  } catch (const std::system_error& error) {
    if (error.code() != rt::net::errc::bad_address) throw;  // its message says what the system refused
    throw rt::bad_parameter("parameter \"listen\" is \"" + address + "\", which is no address: " + error.what());
  }
}

void serve(rt::task& self) {
  std::string address = self.param("listen", "127.0.0.1:8080");
  rt::duration pause = self.param_duration("delay", std::chrono::milliseconds(100));
  std::string text = self.param("text", "Hello from server") + "\n";
  rt::counter greeted = self.counter("hello_greetings_total", "Connections that were greeted.");
  rt::gauge connections = self.gauge("hello_connections", "Connections that wait for their greeting.");

  rt::net::listener listener = listen(address);
  self.info("listening on " + listener.address());
  self.set_status("listening on " + listener.address());
  while (true) {
    rt::net::conn connection = listener.accept();
    try {
      rt::go(greet, std::move(connection), pause, text, greeted, connections);
    } catch (const std::system_error& error) {
      // No stack for another green thread: this client is turned away, the others stay.
      self.warn(std::string("a connection was dropped: ") + error.what());
    }
  }
}

}  // namespace

RT_PLUGIN("hello", "1.0.0", "Greets every TCP connection")
RT_ENTRY(serve, "Accepts and greets until it is stopped; params: listen, delay, text")
