// kvcache: an in-memory cache on the collected heap that speaks memcached's text protocol.
//
// request.h reads requests, session.h answers them, cache.h and shard.h keep the items. Here are the parameters, the
// connections, and what is done once a second.
#include <rt/rt.h>

#include <array>
#include <charconv>
#include <chrono>
#include <string>
#include <system_error>

#include "plugins/kvcache/session.h"

namespace {

using kvcache::server_state;
using namespace std::chrono_literals;

struct settings {
  std::string address;
  std::size_t memory = 0;   // bytes of items
  std::size_t largest = 0;  // bytes of a value
  rt::duration idle{};      // 0: for ever
  std::int64_t connections = 0;
};

// How much of its limit the task uses for items: the collector lets the heap grow to twice of what lives, and green
// threads have values in hand.
constexpr std::uint64_t part_of_limit = 3;

std::size_t read_size(const rt::task& self, std::string_view name, std::string_view fallback) {
  std::string text = self.param(name, fallback);
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  int shift = unit == "" ? 0 : unit == "KiB" ? 10 : unit == "MiB" ? 20 : unit == "GiB" ? 30 : -1;
  if (error != std::errc() || shift < 0 || number == 0 || number > (std::uint64_t{1} << 40 >> shift)) {
    throw rt::bad_parameter("parameter \"" + std::string(name) + "\" is \"" + text +
                            "\", but must be a number of bytes up to 1024 GiB, as in \"64MiB\"");
  }
  return number << shift;
}

settings read_settings(const rt::task& self) {
  settings all;
  all.address = self.param("listen", "127.0.0.1:11211");
  std::uint64_t limit = self.heap_limit();
  bool is_limited = limit != rt::no_memory_limit;
  std::uint64_t share = limit / part_of_limit;
  all.memory = read_size(self, "memory", is_limited ? std::to_string(share) : "64MiB");
  if (is_limited && all.memory > share) {
    throw rt::bad_parameter("parameter \"memory\" is \"" + self.param("memory", "") + "\", more than a third of the " +
                            std::to_string(limit) +
                            " bytes that the task's heap is limited to; leave it out to get "
                            "that third");
  }
  all.largest = read_size(self, "max_value", "1MiB");
  if (all.memory < 4 * all.largest) {
    throw rt::bad_parameter("parameter \"max_value\": four values of " + std::to_string(all.largest) +
                            " bytes do not fit into the memory of " + std::to_string(all.memory) + " bytes");
  }
  all.idle = self.param_duration("idle_timeout", rt::duration(0));
  all.connections = self.param_int("max_connections", 1024, 1, 1'000'000);
  return all;
}

rt::net::listener listen(const std::string& address) {
  try {
    return rt::net::listen(address.starts_with('/') || address.starts_with('@') ? "unix" : "tcp", address);
  } catch (const std::system_error& error) {
    if (error.code() != rt::net::errc::bad_address) throw;
    throw rt::bad_parameter("parameter \"listen\" is \"" + address + "\", which is no address: " + error.what());
  }
}

void talk(rt::net::conn& client, server_state& shared, const settings& how) {
  kvcache::session one(shared, how.largest);
  std::array<char, 16'384> buffer;
  std::string out;
  std::error_code error;
  for (bool go_on = true; go_on;) {
    if (how.idle.count() > 0) client.set_deadline(rt::now() + how.idle);
    std::size_t size = client.read(buffer.data(), buffer.size(), error);
    if (error || size == 0) return;
    shared.bytes_read += size;
    std::string_view bytes(buffer.data(), size);
    while (go_on && !bytes.empty()) {
      go_on = one.answer(bytes, out);
      if (out.empty()) continue;
      client.write(out, error);
      if (error) return;
      shared.bytes_written += out.size();
      out.clear();
      if (out.capacity() > 1 << 20) out.shrink_to_fit();
    }
  }
}

void serve_client(rt::net::conn client, server_state& shared, const settings& how) {
  struct count_open {
    server_state& of;
    explicit count_open(server_state& state) : of(state) { ++of.connections, ++of.all_connections; }
    ~count_open() { --of.connections; }
  } open(shared);
  if (shared.connections > shared.most_connections) {
    std::error_code gone;
    client.write("ERROR Too many open connections\r\n", gone);
    return;
  }
  talk(client, shared, how);
}

// Once a second: what has expired goes, and the metrics follow.
void look_after(rt::task& self, server_state& shared) {
  // Of each shard, so that the largest cache is gone through in minutes, and nobody waits long.
  constexpr std::size_t looked_at = 2000;
  rt::gauge items = self.gauge("kvcache_items", "Items in the cache.");
  rt::gauge bytes = self.gauge("kvcache_bytes", "Bytes that the items take, with keys and tables.");
  rt::gauge connections = self.gauge("kvcache_connections", "Open connections.");
  rt::counter hits = self.counter("kvcache_get_hits_total", "Keys that were asked for and found.");
  rt::counter misses = self.counter("kvcache_get_misses_total", "Keys that were asked for and not found.");
  rt::counter stored = self.counter("kvcache_stored_total", "Items that were stored.");
  rt::counter evictions = self.counter("kvcache_evictions_total", "Items that went to make room for others.");
  rt::counter expirations = self.counter("kvcache_expirations_total", "Items whose time was over.");
  kvcache::counts before;
  while (true) {
    rt::sleep_for(1s);
    for (kvcache::shard* one : shared.items->shards()) one->expire_some(looked_at, rt::now());
    kvcache::counts now = shared.items->read_counts();
    items.set(static_cast<double>(now.items));
    bytes.set(static_cast<double>(now.bytes));
    connections.set(static_cast<double>(shared.connections.load()));
    hits.add(static_cast<double>(now.hits - before.hits));
    misses.add(static_cast<double>(now.gets - now.hits - (before.gets - before.hits)));
    stored.add(static_cast<double>(now.stored - before.stored));
    evictions.add(static_cast<double>(now.evictions - before.evictions));
    expirations.add(static_cast<double>(now.expirations - before.expirations));
    before = now;
    self.set_status(std::to_string(now.items) + " items, " + std::to_string(now.bytes >> 20) + " of " +
                    std::to_string(shared.items->budget() >> 20) + " MiB, " +
                    std::to_string(shared.connections.load()) + " clients");
  }
}

void serve(rt::task& self) {
  const settings how = read_settings(self);
  server_state shared;  // on this stack, where the collector sees it
  shared.items = rt::make<kvcache::cache>(how.memory, how.largest);
  shared.started = rt::now();
  shared.most_connections = static_cast<std::uint64_t>(how.connections);
  rt::net::listener listener = listen(how.address);
  self.info("listening on " + listener.address() + ", with " + std::to_string(how.memory) + " bytes for items");
  self.set_status("listening on " + listener.address());

  rt::scope clients;
  clients.go({.name = "look after"}, [&] { look_after(self, shared); });
  while (true) {
    rt::net::conn client = listener.accept();
    try {
      clients.go({.name = "client"},
                 [client, &shared, &how]() mutable { serve_client(std::move(client), shared, how); });
    } catch (const std::system_error& error) {
      self.warn(std::string("a connection was dropped: ") + error.what());
    }
  }
}

}  // namespace

RT_PLUGIN("kvcache", "1.0.0", "A cache that speaks memcached's text protocol")
RT_ENTRY(serve, "Serves until it is stopped; params: listen, memory, max_value, idle_timeout, max_connections")
