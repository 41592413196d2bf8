// Behaviours 11 and 12: programs that are made of channels.
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"

namespace {

using namespace conformance;
RT_ON_PROCS(conformance_pipelines);

TEST_P(conformance_pipelines, b011_a_daisy_chain_of_10000_passes_a_value_through_and_ends) {
  run([] {
#if defined(__SANITIZE_THREAD__)  // which has room for 8 000 flows, and compares clocks of as many places
    constexpr int length = 1'000;
#else
    constexpr int length = 10'000;
#endif
    const std::size_t before = rt::num_green_threads();
    rt::chan<int> leftmost;
    rt::chan<int> left = leftmost;
    for (int i = 0; i < length; ++i) {
      rt::chan<int> right;
      rt::go([left, right] { left.send(1 + *right.recv()); });
      left = right;
    }
    EXPECT_EQ(rt::num_green_threads(), before + length);
    left.send(0);
    EXPECT_EQ(leftmost.recv(), length);
    EXPECT_TRUE(eventually([&] { return rt::num_green_threads() == before; }));
  });
}

// Eratosthenes: every prime adds a filter behind the ones that are there.
TEST_P(conformance_pipelines, b012_prime_sieve) {
  run([] {
    const int count = scaled(500) < 100 ? 100 : scaled(500);
    rt::scope scope;
    rt::chan<int> numbers;
    scope.go([numbers] {
      for (int i = 2;; ++i) numbers.send(i);
    });
    std::vector<int> primes;
    for (int i = 0; i < count; ++i) {
      const int prime = *numbers.recv();
      primes.push_back(prime);
      rt::chan<int> filtered;
      scope.go([numbers, filtered, prime] {
        for (int value : numbers) {
          if (value % prime != 0) filtered.send(value);
        }
      });
      numbers = filtered;
    }
    scope.cancel();
    scope.wait();
    std::vector<int> expected;
    for (int candidate = 2; expected.size() < primes.size(); ++candidate) {
      bool divided = false;
      for (int divisor = 2; divisor * divisor <= candidate && !divided; ++divisor) divided = candidate % divisor == 0;
      if (!divided) expected.push_back(candidate);
    }
    EXPECT_EQ(primes, expected);
  });
}

// ---- power series as streams of coefficients, computed on demand (after McIlroy's "Squinting at Power Series") ----

struct rational {
  long long above = 0;
  long long below = 1;
  rational(long long numerator = 0, long long denominator = 1) : above(numerator), below(denominator) {  // NOLINT
    long long common = std::gcd(above, below);
    if (below < 0) common = -common;
    above /= common;
    below /= common;
  }
  friend bool operator==(const rational&, const rational&) = default;
  friend rational operator+(const rational& a, const rational& b) {
    long long common = std::gcd(a.below, b.below);
    return {a.above * (b.below / common) + b.above * (a.below / common), a.below / common * b.below};
  }
  friend rational operator*(const rational& a, const rational& b) {
    rational first(a.above, b.below);
    rational second(b.above, a.below);
    return {first.above * second.above, first.below * second.below};
  }
  rational inverse() const { return {below, above}; }
  friend std::ostream& operator<<(std::ostream& out, const rational& one) {
    return out << one.above << "/" << one.below;
  }
};

// A coefficient is made when it is asked for, and not before.
class series {
 public:
  rational next() const {
    demand_.send(true);
    return *terms_.recv();
  }
  void await_demand() const { demand_.recv(); }
  void give(const rational& term) const { terms_.send(term); }
  const rt::chan<bool>& demand() const { return demand_; }
  const rt::chan<rational>& terms() const { return terms_; }

 private:
  rt::chan<bool> demand_;
  rt::chan<rational> terms_;
};

class algebra {
 public:
  explicit algebra(rt::scope& scope) : scope_(scope) {}

  series generate(std::function<rational(int)> term) {
    return start([term](const series& out) {
      for (int i = 0;; ++i) {
        out.await_demand();
        out.give(term(i));
      }
    });
  }
  // Both sides get all coefficients, each at its own pace. While one side waits for a coefficient the other one is
  // served: its next one may be needed to make it.
  std::pair<series, series> split(const series& in) {
    std::pair<series, series> out;
    scope_.go([in, out] { serve_both(in, out.first, out.second); });
    return out;
  }
  series add(const series& f, const series& g) {
    return start([f, g](const series& out) {
      while (true) {
        out.await_demand();
        out.give(f.next() + g.next());
      }
    });
  }
  series scale(const rational& factor, const series& f) {
    return start([factor, f](const series& out) {
      while (true) {
        out.await_demand();
        out.give(factor * f.next());
      }
    });
  }
  series times_x(const series& f) {
    return start([f](const series& out) {
      out.await_demand();
      out.give(0);
      copy(f, out);
    });
  }
  series multiply(const series& f, const series& g) {
    return start([this, f, g](const series& out) {
      out.await_demand();
      const rational f0 = f.next();
      const rational g0 = g.next();
      out.give(f0 * g0);
      auto [f1, f2] = split(f);
      auto [g1, g2] = split(g);
      copy(add(add(scale(f0, g1), scale(g0, f1)), times_x(multiply(f2, g2))), out);
    });
  }
  series derivative(const series& f) {
    return start([f](const series& out) {
      out.await_demand();
      f.next();
      for (int i = 1;; ++i) {
        out.give(rational(i) * f.next());
        out.await_demand();
      }
    });
  }
  series integral(const rational& constant, const series& f) {
    return start([constant, f](const series& out) {
      out.await_demand();
      out.give(constant);
      for (int i = 1;; ++i) {
        out.await_demand();
        out.give(rational(1, i) * f.next());
      }
    });
  }
  // R = 1/f0 - x/f0 * F' * R, where F = f0 + x F'
  series reciprocal(const series& f) {
    return feed_back([this, f](const series& out, const series& back) {
      out.await_demand();
      const rational g0 = f.next().inverse();
      out.give(g0);
      copy(scale(rational(-1) * g0, multiply(f, back)), out);
    });
  }
  // X = 1 + integral(X * F'), for F without constant term
  series exponential(const series& f) {
    return feed_back(
        [this, f](const series& out, const series& back) { copy(integral(1, multiply(back, derivative(f))), out); });
  }
  // F(G) = f0 + G * F'(G), where F = f0 + x F', for G without constant term
  series substitute(const series& f, const series& g) {
    return start([this, f, g](const series& out) {
      out.await_demand();
      out.give(f.next());
      auto [g1, g2] = split(g);
      g1.next();
      copy(multiply(g1, substitute(f, g2)), out);
    });
  }
  // R with F(R) = x: R = x / F'(R), where F = x F'
  series reverse(const series& f) {
    return feed_back([this, f](const series& out, const series& back) {
      out.await_demand();
      f.next();
      out.give(0);
      copy(reciprocal(substitute(f, back)), out);
    });
  }

 private:
  struct reader {
    const series& to;
    std::size_t place = 0;
    bool waits = false;
  };
  static void serve_both(const series& in, const series& left, const series& right) {
    const rt::chan<bool> no_demand(nullptr);
    const rt::chan<rational> no_term(nullptr);
    std::vector<rational> made;
    reader first{left};
    reader second{right};
    bool asked = false;
    auto serve = [&](reader& one) {
      one.waits = one.place == made.size();
      if (!one.waits) {
        one.to.give(made[one.place++]);
      } else if (!asked) {
        in.demand().send(true);
        asked = true;
      }
    };
    while (true) {
      rt::select(rt::on_recv(first.waits ? no_demand : left.demand(), [&](auto) { serve(first); }),
                 rt::on_recv(second.waits ? no_demand : right.demand(), [&](auto) { serve(second); }),
                 rt::on_recv(asked ? in.terms() : no_term, [&](std::optional<rational> term) {
                   asked = false;
                   made.push_back(term.value());
                   if (first.waits) serve(first);
                   if (second.waits) serve(second);
                 }));
    }
  }
  static void copy(const series& from, const series& to) {
    while (true) {
      to.await_demand();
      to.give(from.next());
    }
  }
  template <class Body>
  series start(Body body) {
    series out;
    scope_.go([out, body] { body(out); });
    return out;
  }
  // A series that is computed from itself.
  template <class Body>
  series feed_back(Body body) {
    series made;
    auto [out, back] = split(made);
    scope_.go([made, body, back = back] { body(made, back); });
    return out;
  }

  rt::scope& scope_;
};

std::vector<rational> first_terms(const series& f, int count) {
  std::vector<rational> terms;
  for (int i = 0; i < count; ++i) terms.push_back(f.next());
  return terms;
}

TEST_P(conformance_pipelines, b012_power_series) {
  run([] {
    using terms = std::vector<rational>;
    const std::uint64_t created = rt::read_stats().created_total;
    rt::scope scope;
    algebra with(scope);
    auto ones = [&] { return with.generate([](int) { return 1; }); };
    auto x = [&] { return with.generate([](int i) { return i == 1 ? 1 : 0; }); };
    auto arc_tangent = [&] {
      return with.integral(0, with.generate([](int i) { return i % 2 == 1 ? 0 : i % 4 == 0 ? 1 : -1; }));
    };
    EXPECT_EQ(first_terms(with.add(ones(), with.scale(2, ones())), 6), (terms{3, 3, 3, 3, 3, 3}));
    EXPECT_EQ(first_terms(with.multiply(ones(), ones()), 10), (terms{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
    EXPECT_EQ(first_terms(with.derivative(ones()), 6), (terms{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(first_terms(with.reciprocal(ones()), 10), (terms{1, -1, 0, 0, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(first_terms(arc_tangent(), 8), (terms{0, 1, 0, {-1, 3}, 0, {1, 5}, 0, {-1, 7}}));
    EXPECT_EQ(first_terms(with.exponential(x()), 10),
              (terms{1, 1, {1, 2}, {1, 6}, {1, 24}, {1, 120}, {1, 720}, {1, 5040}, {1, 40320}, {1, 362880}}));
    // 1 / (1 - (x + x^2)) has the Fibonacci numbers.
    auto golden = with.generate([](int i) { return i == 1 || i == 2 ? 1 : 0; });
    EXPECT_EQ(first_terms(with.substitute(ones(), golden), 10), (terms{1, 1, 2, 3, 5, 8, 13, 21, 34, 55}));
    EXPECT_EQ(first_terms(with.reverse(arc_tangent()), 16), (terms{0,
                                                                   1,
                                                                   0,
                                                                   {1, 3},
                                                                   0,
                                                                   {2, 15},
                                                                   0,
                                                                   {17, 315},
                                                                   0,
                                                                   {62, 2835},
                                                                   0,
                                                                   {1382, 155925},
                                                                   0,
                                                                   {21844, 6081075},
                                                                   0,
                                                                   {929569, 638512875}}));
    // Each has two channels. The last ones are made after the last coefficients, by those that have given them away.
    EXPECT_TRUE(eventually([&] { return rt::read_stats().created_total - created > 900; }))
        << "the graphs are smaller than was meant: " << rt::read_stats().created_total - created;
    scope.cancel();
    scope.wait();
  });
}

}  // namespace
