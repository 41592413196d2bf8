// kvcache's items: what is kept, for how long, and within which bounds; and its answers.
#include <gtest/gtest.h>

#include <list>
#include <random>
#include <string>
#include <unordered_map>

#include "plugins/kvcache/session.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"

namespace {

using kvcache::outcome;
using kvcache::shard;
using kvcache::store_if;
using namespace std::chrono_literals;

constexpr rt::time_point never = rt::time_point::max();

RT_ON_PROCS(kvcache_cache);

outcome put(shard& into, std::string_view key, std::string_view value, rt::time_point expires = never,
            rt::time_point now = rt::time_point(1s)) {
  return into.set(store_if::always, key, value, 0, expires, 0, now);
}

std::string value_in(shard& from, std::string_view key, rt::time_point now = rt::time_point(1s)) {
  shard::found found;
  return from.get(key, now, found) ? std::string(found.value.view()) : "nothing";
}

TEST_P(kvcache_cache, items_end_at_their_time) {
  run([] {
    shard& one = *rt::make<shard>(1 << 20);
    rt::time_point start(100s);
    put(one, "long", "a", start + 10s, start);
    put(one, "short", "b", start + 1s, start);
    put(one, "for ever", "c", never, start);
    EXPECT_EQ(value_in(one, "short", start + 999ms), "b");
    EXPECT_EQ(value_in(one, "short", start + 1s), "nothing");
    EXPECT_TRUE(one.touch("long", start + 20s, start + 2s));
    EXPECT_EQ(value_in(one, "long", start + 19s), "a");
    put(one, "dead", "d", start, start);
    EXPECT_EQ(one.read_counts().items, 3U);
    one.expire_some(2, start + 30s);
    one.expire_some(2, start + 30s);
    EXPECT_EQ(one.read_counts().items, 1U);
    EXPECT_EQ(one.read_counts().expirations, 3U);
    one.flush(start + 40s, start + 30s);
    EXPECT_EQ(value_in(one, "for ever", start + 39s), "c");
    EXPECT_EQ(value_in(one, "for ever", start + 40s), "nothing");
    EXPECT_EQ(one.read_counts().bytes, 0U);
  });
}

TEST_P(kvcache_cache, conditions_of_storing) {
  run([] {
    shard& one = *rt::make<shard>(1 << 20);
    rt::time_point now(1s);
    EXPECT_EQ(one.set(store_if::present, "k", "1", 0, never, 0, now), outcome::not_stored);
    EXPECT_EQ(one.set(store_if::unchanged, "k", "1", 0, never, 5, now), outcome::not_found);
    EXPECT_EQ(one.set(store_if::absent, "k", "1", 3, never, 0, now), outcome::stored);
    EXPECT_EQ(one.set(store_if::absent, "k", "2", 0, never, 0, now), outcome::not_stored);
    shard::found found;
    ASSERT_TRUE(one.get("k", now, found));
    EXPECT_EQ(found.flags, 3U);
    EXPECT_EQ(one.set(store_if::unchanged, "k", "2", 0, never, found.version + 1, now), outcome::exists);
    EXPECT_EQ(one.set(store_if::unchanged, "k", "41", 0, never, found.version, now), outcome::stored);
    std::uint64_t number = 0;
    EXPECT_EQ(one.add("k", 1, false, now, number), outcome::stored);
    EXPECT_EQ(number, 42U);
    EXPECT_EQ(one.add("k", 100, true, now, number), outcome::stored);
    EXPECT_EQ(number, 0U);
    EXPECT_EQ(value_in(one, "k"), "0");
    put(one, "k", "18446744073709551615");
    EXPECT_EQ(one.add("k", 2, false, now, number), outcome::stored);
    EXPECT_EQ(number, 1U);
    put(one, "k", "no number");
    EXPECT_EQ(one.add("k", 2, false, now, number), outcome::not_a_number);
    EXPECT_EQ(one.add("missing", 2, false, now, number), outcome::not_found);
    EXPECT_TRUE(one.remove("k", now));
    EXPECT_FALSE(one.remove("k", now));
  });
}

TEST_P(kvcache_cache, the_least_recently_used_go_first) {
  run([] {
    std::size_t each = shard::cost_of(3, 100);
    shard& one = *rt::make<shard>(10 * each);
    std::string value(100, 'v');
    for (int i = 100; i < 110; ++i) put(one, std::to_string(i), value);
    EXPECT_EQ(one.read_counts().items, 10U);
    EXPECT_EQ(value_in(one, "100"), value);
    put(one, "110", value);
    EXPECT_EQ(value_in(one, "101"), "nothing");
    EXPECT_EQ(value_in(one, "100"), value);
    EXPECT_EQ(put(one, "large", std::string(11 * each, 'v')), outcome::too_large);
    EXPECT_EQ(one.read_counts().evictions, 1U);
    one.shed();
    EXPECT_LE(one.read_counts().items, 5U);
  });
}

// A model that is written down plainly.
struct model {
  explicit model(std::size_t most) : budget(most) {}
  struct entry {
    std::string value;
    std::list<std::string>::iterator use;
  };
  std::size_t budget;
  std::size_t bytes = 0;
  std::list<std::string> order;  // the last used one first
  std::unordered_map<std::string, entry> items;

  void use(entry& one) { order.splice(order.begin(), order, one.use); }
  void drop(const std::string& key) {
    auto one = items.find(key);
    bytes -= shard::cost_of(key.size(), one->second.value.size());
    order.erase(one->second.use);
    items.erase(one);
  }
  void set(const std::string& key, const std::string& value) {
    std::size_t cost = shard::cost_of(key.size(), value.size());
    auto old = items.find(key);
    std::size_t freed = old == items.end() ? 0 : shard::cost_of(key.size(), old->second.value.size());
    while (cost > freed && bytes + cost - freed > budget) {
      auto victim = std::prev(order.end());
      if (*victim == key) --victim;
      drop(*victim);
    }
    if (old == items.end()) {
      order.push_front(key);
      items[key] = {value, order.begin()};
    } else {
      old->second.value = value;
      use(old->second);
    }
    bytes += cost - freed;
  }
};

TEST_P(kvcache_cache, random_calls_agree_with_a_model) {
  rt_test::seeds seeds;
  run([&] {
    std::mt19937 random = seeds.source(0);
    model expected(40'000);
    rt::ref<shard> tested = rt::make<shard>(expected.budget);
    for (int i = 0; i < rt_test::scaled(20'000); ++i) {
      std::string key = "key" + std::to_string(random() % 300);
      std::string value(random() % (random() % 10 == 0 ? 3000 : 100), static_cast<char>('a' + random() % 26));
      switch (random() % 5) {
        case 0:
        case 1:
          ASSERT_EQ(put(*tested, key, value), outcome::stored);
          expected.set(key, value);
          break;
        case 2:
        case 3: {
          auto known = expected.items.find(key);
          ASSERT_EQ(value_in(*tested, key), known == expected.items.end() ? "nothing" : known->second.value);
          if (known != expected.items.end()) expected.use(known->second);
          break;
        }
        default:
          ASSERT_EQ(tested->remove(key, rt::time_point(1s)), expected.items.contains(key));
          if (expected.items.contains(key)) expected.drop(key);
          break;
      }
      kvcache::counts now = tested->read_counts();
      ASSERT_EQ(now.items, expected.items.size());
      ASSERT_EQ(now.bytes, expected.bytes);
      ASSERT_LE(now.bytes, expected.budget);
    }
  });
}

// What it says its items cost is what they cost: after a collection the heap holds no more.
TEST_P(kvcache_cache, the_budget_holds_in_the_heap) {
  run([] {
    constexpr std::size_t budget = 8 << 20;
    rt::gc();
    std::uint64_t before = rt::read_mem_stats().heap_alloc;
    rt::ref<shard> one = rt::make<shard>(budget);
    for (int i = 0; i < rt_test::scaled(100'000); ++i) {
      put(*one, "key" + std::to_string(i), std::string(static_cast<std::size_t>(i % 700), 'v'));
    }
    rt::gc();
    rt::gc();
    std::uint64_t taken = rt::read_mem_stats().heap_alloc - before;
    EXPECT_LE(taken, budget + (1 << 20));
    EXPECT_LE(one->read_counts().bytes, budget);
    rt::keep_alive(one.get());
  });
}

std::string answers(kvcache::session& one, std::string_view bytes) {
  std::string out;
  while (!bytes.empty() && one.answer(bytes, out)) {
  }
  return out;
}

TEST_P(kvcache_cache, a_session) {
  run([] {
    kvcache::server_state shared;
    shared.items = rt::make<kvcache::cache>(8 << 20, 1000);
    shared.started = rt::now();
    kvcache::session one(shared, 1000);
    EXPECT_EQ(answers(one, "set a 5 0 3\r\nabc\r\nget a b\r\n"), "STORED\r\nVALUE a 5 3\r\nabc\r\nEND\r\n");
    EXPECT_EQ(answers(one, "set n 0 0 1 noreply\r\n1\r\nincr n 9\r\ndecr n 100\r\ndelete n\r\nincr n 1\r\n"),
              "10\r\n0\r\nDELETED\r\nNOT_FOUND\r\n");
    EXPECT_EQ(answers(one, "add a 0 0 1\r\nx\r\nreplace a 0 0 1\r\nx\r\nreplace q 0 0 1\r\nx\r\n"),
              "NOT_STORED\r\nSTORED\r\nNOT_STORED\r\n");
    EXPECT_EQ(answers(one, "append a 0 0 2\r\nyz\r\nprepend a 0 0 1\r\n<\r\nget a\r\nappend q 0 0 1\r\nx\r\n"),
              "STORED\r\nSTORED\r\nVALUE a 0 4\r\n<xyz\r\nEND\r\nNOT_STORED\r\n");
    EXPECT_EQ(answers(one, "append a 0 0 998\r\n" + std::string(998, 'v') + "\r\nset a 0 0 1\r\nx\r\n"),
              "SERVER_ERROR object too large for cache\r\nSTORED\r\n");
    std::string text = answers(one, "gets a\r\n");
    std::string number = text.substr(12, text.find("\r\n") - 12);
    EXPECT_EQ(text, "VALUE a 0 1 " + number + "\r\nx\r\nEND\r\n");
    EXPECT_EQ(answers(one, "cas a 0 0 1 " + number + "\r\ny\r\ncas a 0 0 1 " + number + "\r\nz\r\n"),
              "STORED\r\nEXISTS\r\n");
    EXPECT_EQ(answers(one, "touch a 0\r\ntouch q 0\r\nset e 0 -1 1\r\ne\r\nget e\r\nversion\r\n"),
              "TOUCHED\r\nNOT_FOUND\r\nSTORED\r\nEND\r\nVERSION 1.0.0\r\n");
    text = answers(one, "stats\r\n");
    EXPECT_NE(text.find("STAT cmd_get 5\r\n"), std::string::npos) << text;
    EXPECT_NE(text.find("STAT curr_items 1\r\n"), std::string::npos) << text;
    EXPECT_EQ(answers(one, "flush_all\r\nget a\r\n"), "OK\r\nEND\r\n");
    EXPECT_EQ(answers(one, "nonsense\r\nquit\r\nget a\r\n"), "ERROR\r\n");
  });
}

TEST_P(kvcache_cache, times_as_memcached_has_them) {
  run([] {
    rt::time_point now = rt::now();
    using kvcache::cache;
    EXPECT_EQ(cache::end_of(0, now), never);
    EXPECT_EQ(cache::end_of(-1, now), now);
    EXPECT_EQ(cache::end_of(60, now), now + 60s);
    auto today = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
    EXPECT_LE(std::chrono::abs(cache::end_of(today.count() + 100, now) - now - 100s), 2s);
    EXPECT_EQ(cache::end_of(today.count() - 100, now), now);
    EXPECT_EQ(cache::end_of(INT64_MAX, now), never);
  });
}

}  // namespace
