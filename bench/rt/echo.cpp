#include <string>
#include <system_error>

#include "bench/rt/rows.h"
#include "rt/blocking.h"
#include "rt/go.h"
#include "rt/net.h"
#include "rt/runtime.h"

namespace bench_rt {

namespace {

void echo(rt::net::conn connection) {
  char buffer[4096];
  std::error_code error;
  for (;;) {
    std::size_t size = connection.read(buffer, sizeof buffer, error);
    if (size == 0 || error) return;
    connection.write(buffer, size, error);
    if (error) return;
  }
}

void accept_all(rt::net::listener listener) {
  for (;;) {
    std::error_code error;
    rt::net::conn connection = listener.accept(error);
    if (error) return;
    rt::go(echo, std::move(connection));
  }
}

}  // namespace

void serve_echo(int port) {
  rt::run_options options;
  options.max_procs = bench::usable_cpus();
  rt::run(
      [port] {
        rt::net::listener listener = rt::net::listen("tcp4", "127.0.0.1:" + std::to_string(port));
        const std::string address = listener.address();
        rt::go(accept_all, listener);
        bench::announce_port(std::stoi(address.substr(address.rfind(':') + 1)));
        rt::blocking([] { bench::wait_for_end_of_input(); });
        listener.close();
        return 0;
      },
      options);
}

}  // namespace bench_rt
