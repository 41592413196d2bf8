#include "plugins/kvcache/session.h"

#include <unistd.h>

#include <chrono>
#include <new>

namespace kvcache {

namespace {

// What is gathered before it is written, in bytes, so that a client that asks for much gets it piece by piece.
constexpr std::size_t gathered = 256 << 10;

std::string_view text_of(outcome result) {
  switch (result) {
    case outcome::stored:
      return "STORED\r\n";
    case outcome::not_stored:
      return "NOT_STORED\r\n";
    case outcome::exists:
      return "EXISTS\r\n";
    case outcome::not_found:
      return "NOT_FOUND\r\n";
    case outcome::not_a_number:
      return "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    case outcome::too_large:
      break;
  }
  return "SERVER_ERROR object too large for cache\r\n";
}

void append_stat(std::string& out, std::string_view name, std::uint64_t value) {
  out.append("STAT ").append(name).append(" ").append(std::to_string(value)).append("\r\n");
}

}  // namespace

bool session::answer(std::string_view& bytes, std::string& out) {
  while (!bytes.empty() && out.size() < gathered) {
    switch (reader_.read(bytes)) {
      case reading::more:
        break;
      case reading::refused:
        out += reader_.refusal();
        if (reader_.is_over()) return false;
        break;
      case reading::request: {
        std::size_t before = out.size();
        bool go_on = true;
        try {
          go_on = answer_one(out);
        } catch (const std::bad_alloc&) {
          // The task's limit: half of what is in the way goes, and the next request may succeed.
          for (shard* one : shared_->items->shards()) one->shed();
          out.resize(before);
          out += "SERVER_ERROR out of memory storing object\r\n";
        }
        if (reader_.found().quiet) out.resize(before);
        if (!go_on) return false;
        break;
      }
    }
  }
  return true;
}

bool session::answer_one(std::string& out) {
  const request& asked = reader_.found();
  cache& items = *shared_->items;
  rt::time_point now = rt::now();
  switch (asked.what) {
    case verb::get:
    case verb::gets:
      answer_get(out);
      break;
    case verb::set:
    case verb::add:
    case verb::replace:
    case verb::cas:
      answer_storage(out);
      break;
    case verb::append:
    case verb::prepend:
      out += text_of(items.of(asked.keys[0])
                         .join(asked.what == verb::append ? joining::behind : joining::before, asked.keys[0],
                               asked.value, longest_value_, now));
      break;
    case verb::remove:
      out += items.of(asked.keys[0]).remove(asked.keys[0], now) ? "DELETED\r\n" : "NOT_FOUND\r\n";
      break;
    case verb::increment:
    case verb::decrement: {
      std::uint64_t number = 0;
      outcome result =
          items.of(asked.keys[0]).add(asked.keys[0], asked.number, asked.what == verb::decrement, now, number);
      if (result == outcome::stored) {
        out += std::to_string(number) + "\r\n";
      } else {
        out += text_of(result);
      }
      break;
    }
    case verb::touch:
      out += items.of(asked.keys[0]).touch(asked.keys[0], cache::end_of(asked.time, now), now) ? "TOUCHED\r\n"
                                                                                               : "NOT_FOUND\r\n";
      break;
    case verb::stats:
      // Of the kinds that memcached has beside the general one there is nothing to tell here.
      if (asked.keys.empty()) answer_stats(out);
      out += "END\r\n";
      break;
    case verb::flush_all: {
      rt::time_point when = asked.time <= 0 ? now : cache::end_of(asked.time, now);
      for (shard* one : items.shards()) one->flush(when, now);
      out += "OK\r\n";
      break;
    }
    case verb::verbosity:
      out += "OK\r\n";  // what is logged is the daemon's affair
      break;
    case verb::version:
      out += "VERSION 1.0.0\r\n";
      break;
    case verb::quit:
      return false;
  }
  return true;
}

void session::answer_get(std::string& out) {
  const request& asked = reader_.found();
  rt::time_point now = rt::now();
  for (const std::string& key : asked.keys) {
    shard::found found;
    if (!shared_->items->of(key).get(key, now, found)) continue;
    out.append("VALUE ").append(key).append(" ").append(std::to_string(found.flags)).append(" ");
    out.append(std::to_string(found.value.size()));
    if (asked.what == verb::gets) out.append(" ").append(std::to_string(found.version));
    out.append("\r\n").append(found.value.view()).append("\r\n");
  }
  out += "END\r\n";
}

void session::answer_storage(std::string& out) {
  const request& asked = reader_.found();
  rt::time_point now = rt::now();
  store_if condition = asked.what == verb::set       ? store_if::always
                       : asked.what == verb::add     ? store_if::absent
                       : asked.what == verb::replace ? store_if::present
                                                     : store_if::unchanged;
  const std::string& key = asked.keys[0];
  out += text_of(shared_->items->of(key).set(condition, key, asked.value, asked.flags, cache::end_of(asked.time, now),
                                             asked.number, now));
}

void session::answer_stats(std::string& out) {
  counts all = shared_->items->read_counts();
  auto seconds = [](auto length) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(length).count());
  };
  append_stat(out, "pid", static_cast<std::uint64_t>(getpid()));
  append_stat(out, "uptime", seconds(rt::now() - shared_->started));
  append_stat(out, "time", seconds(std::chrono::system_clock::now().time_since_epoch()));
  out += "STAT version 1.0.0\r\n";
  append_stat(out, "pointer_size", 8 * sizeof(void*));
  append_stat(out, "max_connections", shared_->most_connections);
  append_stat(out, "curr_connections", shared_->connections.load());
  append_stat(out, "total_connections", shared_->all_connections.load());
  append_stat(out, "cmd_get", all.gets);
  append_stat(out, "cmd_set", all.sets);
  append_stat(out, "cmd_flush", all.flushes / shared_->items->shards().size());
  append_stat(out, "cmd_touch", all.touches);
  append_stat(out, "get_hits", all.hits);
  append_stat(out, "get_misses", all.gets - all.hits);
  append_stat(out, "get_expired", all.expirations);
  append_stat(out, "delete_misses", all.removal_misses);
  append_stat(out, "delete_hits", all.removal_hits);
  append_stat(out, "incr_misses", all.increment_misses);
  append_stat(out, "incr_hits", all.increment_hits);
  append_stat(out, "decr_misses", all.decrement_misses);
  append_stat(out, "decr_hits", all.decrement_hits);
  append_stat(out, "cas_misses", all.cas_misses);
  append_stat(out, "cas_hits", all.cas_hits);
  append_stat(out, "cas_badval", all.cas_bad);
  append_stat(out, "touch_hits", all.touch_hits);
  append_stat(out, "touch_misses", all.touch_misses);
  append_stat(out, "bytes_read", shared_->bytes_read.load());
  append_stat(out, "bytes_written", shared_->bytes_written.load());
  append_stat(out, "limit_maxbytes", shared_->items->budget());
  append_stat(out, "threads", static_cast<std::uint64_t>(rt::max_procs()));
  append_stat(out, "bytes", all.bytes);
  append_stat(out, "curr_items", all.items);
  append_stat(out, "total_items", all.stored);
  append_stat(out, "evictions", all.evictions);
}

}  // namespace kvcache
