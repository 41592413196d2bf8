// bench_echo_client: the load on every TCP echo server alike, and the measure of its answers.
//
// `bench_echo_client PORT CONNECTIONS MILLISECONDS` opens the connections to 127.0.0.1, keeps one request of 64 bytes
// under way on each (a closed loop), and prints one line of JSON: answers per second, and percentiles of the time from
// just before send to just after the recv that completes the answer. The first quarter of the time is warm-up and not
// counted. Each request differs from all others and each answer is compared with its request; a wrong or missing answer
// makes the measure fail. One thread for each CPU (but no more than connections), each with its own epoll instance.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "bench/common/program.h"
#include "bench/echo_client/histogram.h"

namespace {

constexpr std::size_t message_size = 64;
// An answer that takes this long after the last request is taken for lost.
constexpr std::int64_t patience_ns = 10'000'000'000;

struct connection {
  int fd = -1;
  std::uint64_t number = 0;
  std::uint64_t requests = 0;
  std::int64_t sent_at = 0;
  std::size_t received = 0;
  std::array<char, message_size> request{};
  std::array<char, message_size> answer{};
};

struct schedule {
  std::int64_t begin = 0;  // answers count from here …
  std::int64_t end = 0;    // … to here, when no more requests are made
};

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 && errno == EMFILE) {
    throw std::runtime_error("too few descriptors for that many connections: raise the hard limit (ulimit -Hn)");
  }
  check(fd, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect to 127.0.0.1");
  int on = 1;
  check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
  return fd;
}

class worker {
 public:
  worker(int port, std::size_t first, std::size_t count)
      : epoll_(check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
    connections_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      connection& one = connections_[i];
      one.fd = connect_to(port);
      one.number = first + i;
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &one;
      check(epoll_ctl(epoll_, EPOLL_CTL_ADD, one.fd, &event), "epoll_ctl");
    }
  }

  void run(const schedule& when) {
    try {
      waiting_ = connections_.size();
      for (connection& one : connections_) request(one);
      std::array<epoll_event, 256> events;
      while (waiting_ > 0) {
        int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 100);
        if (count < 0 && errno != EINTR) check(count, "epoll_wait");
        for (int i = 0; i < count; ++i)
          answer(*static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr), when);
        if (count <= 0 && bench::now_ns() > when.end + patience_ns) {
          throw std::runtime_error(std::to_string(waiting_) + " connections got no answer");
        }
      }
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  const bench::histogram& latencies() const {
    if (failure_) std::rethrow_exception(failure_);
    return latencies_;
  }

 private:
  void request(connection& one) {
    std::memcpy(one.request.data(), &one.number, sizeof one.number);
    std::memcpy(one.request.data() + sizeof one.number, &one.requests, sizeof one.requests);
    std::memset(one.request.data() + 16, static_cast<int>('a' + one.requests % 26), message_size - 16);
    ++one.requests;
    one.received = 0;
    one.sent_at = bench::now_ns();
    // At most one request is under way, so it always fits into the socket's buffer.
    ssize_t sent = send(one.fd, one.request.data(), message_size, MSG_NOSIGNAL);
    check(static_cast<int>(sent), "send");
    if (sent != static_cast<ssize_t>(message_size)) throw std::runtime_error("a request of 64 bytes was sent in parts");
  }

  void answer(connection& one, const schedule& when) {
    ssize_t size = recv(one.fd, one.answer.data() + one.received, message_size - one.received, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    check(static_cast<int>(size), "recv");
    if (size == 0) throw std::runtime_error("the server closed a connection");
    one.received += static_cast<std::size_t>(size);
    if (one.received < message_size) return;
    const std::int64_t now = bench::now_ns();
    if (one.answer != one.request) throw std::runtime_error("an answer differs from its request");
    if (now >= when.begin && now < when.end) latencies_.add(now - one.sent_at);
    if (now < when.end) {
      request(one);
    } else {
      --waiting_;
    }
  }

  int epoll_;
  std::vector<connection> connections_;
  std::size_t waiting_ = 0;
  bench::histogram latencies_;
  std::exception_ptr failure_;
};

std::optional<int> parse(std::string_view text, int least, int most) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) return std::nullopt;
  return value;
}

void measure(int port, int connection_count, int milliseconds) {
  const int thread_count = std::min(connection_count, bench::usable_cpus());
  std::vector<worker> workers;
  workers.reserve(static_cast<std::size_t>(thread_count));
  for (int i = 0; i < thread_count; ++i) {
    const int first = connection_count * i / thread_count;
    const int after = connection_count * (i + 1) / thread_count;
    workers.emplace_back(port, static_cast<std::size_t>(first), static_cast<std::size_t>(after - first));
  }

  const std::int64_t start = bench::now_ns();
  const std::int64_t length = std::int64_t{milliseconds} * 1'000'000;
  const schedule when{start + length / 4, start + length};
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < workers.size(); ++i) threads.emplace_back([&, i] { workers[i].run(when); });
  workers[0].run(when);
  for (std::thread& one : threads) one.join();

  bench::histogram all;
  for (const worker& one : workers) all.merge(one.latencies());
  if (all.count() == 0) throw std::runtime_error("no answer came within the measured time; give it more milliseconds");
  const double seconds = static_cast<double>(when.end - when.begin) / 1e9;
  std::printf(
      "{\"row\":\"echo_tcp_%d\",\"unit\":\"1/s\",\"value\":%.9g,\"count\":%llu,\"seconds\":%.6g,\"threads\":%d,"
      "\"p50_us\":%.6g,\"p99_us\":%.6g,\"p999_us\":%.6g,\"longest_us\":%.6g}\n",
      connection_count, static_cast<double>(all.count()) / seconds, static_cast<unsigned long long>(all.count()),
      seconds, thread_count, all.quantile(0.5) / 1e3, all.quantile(0.99) / 1e3, all.quantile(0.999) / 1e3,
      static_cast<double>(all.longest()) / 1e3);
}

}  // namespace

int main(int argument_count, char** arguments) {
  std::optional<int> port;
  std::optional<int> connections;
  std::optional<int> milliseconds;
  if (argument_count == 4) {
    port = parse(arguments[1], 1, 65535);
    connections = parse(arguments[2], 1, 1'000'000);
    milliseconds = parse(arguments[3], 1, 600'000);
  }
  if (!port || !connections || !milliseconds) {
    std::fprintf(stderr, "usage: bench_echo_client PORT CONNECTIONS MILLISECONDS\n");
    return 2;
  }
  bench::raise_descriptor_limit();
  try {
    measure(*port, *connections, *milliseconds);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "bench_echo_client: %s\n", failure.what());
    return 1;
  }
  return 0;
}
