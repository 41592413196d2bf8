// workers: a channel of jobs, n green threads that take from it, a channel on which the results are gathered.
//
// A job is a number; its result is the count of primes up to it, so a worker has real work to do.
#include <rt/rt.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace {

struct job {
  std::int64_t number;
  std::int64_t limit;
};

struct result {
  std::int64_t number;
  std::int64_t primes;
  std::int64_t worker;
};

// The sieve of Eratosthenes.
std::int64_t count_primes(std::int64_t limit) {
  std::vector<bool> composite(static_cast<std::size_t>(limit) + 1);
  std::int64_t count = 0;
  for (std::int64_t i = 2; i <= limit; ++i) {
    if (composite[static_cast<std::size_t>(i)]) continue;
    ++count;
    for (std::int64_t j = i * i; j <= limit; j += i) composite[static_cast<std::size_t>(j)] = true;
    rt::checkpoint();
  }
  return count;
}

void work(std::int64_t worker, rt::chan<job> jobs, rt::chan<result> results, rt::counter done) {
  for (const job& one : jobs) {
    results.send({one.number, count_primes(one.limit), worker});
    done.add();
  }
}

void run(rt::task& self) {
  std::int64_t workers = self.param_int("workers", 4, 1, 10'000);
  std::int64_t count = self.param_int("jobs", 100, 1, 10'000'000);
  std::int64_t limit = self.param_int("limit", 100'000, 2, 10'000'000);
  rt::duration pause = self.param_duration("interval", rt::duration(0));
  rt::counter done = self.counter("workers_jobs_done_total", "Jobs that were finished.");
  rt::gauge rate = self.gauge("workers_last_round_jobs_per_second", "How fast the last round went.");

  while (true) {
    rt::time_point start = rt::now();
    rt::chan<job> jobs(static_cast<std::size_t>(workers));
    rt::chan<result> results(static_cast<std::size_t>(workers));
    std::vector<std::int64_t> by_worker(static_cast<std::size_t>(workers));
    std::int64_t primes = 0;
    rt::scope scope;  // a worker that fails ends the others, and wait() says why
    for (std::int64_t i = 0; i < workers; ++i) scope.go(work, i, jobs, results, done);
    scope.go([=] {
      for (std::int64_t i = 0; i < count; ++i) jobs.send({i, limit + i % 100});
      jobs.close();
    });
    scope.go([&] {
      for (std::int64_t i = 0; i < count; ++i) {
        result one = *results.recv();
        ++by_worker[static_cast<std::size_t>(one.worker)];
        primes += one.primes;
      }
    });
    scope.wait();
    double seconds = std::chrono::duration<double>(rt::now() - start).count();
    rate.set(static_cast<double>(count) / seconds);
    std::string text = std::to_string(count) + " jobs done by " + std::to_string(workers) + " workers in " +
                       std::to_string(static_cast<std::int64_t>(seconds * 1000)) + " ms, " + std::to_string(primes) +
                       " primes found";
    auto [least, most] = std::minmax_element(by_worker.begin(), by_worker.end());
    self.debug("jobs by worker: " + std::to_string(*least) + " to " + std::to_string(*most));
    self.info(text);
    self.set_status(text);
    if (pause <= rt::duration(0)) return;
    rt::sleep_for(pause);
  }
}

}  // namespace

RT_PLUGIN("workers", "1.0.0", "Workers over a channel of jobs")
RT_ENTRY(run, "Counts primes by n workers; params: workers, jobs, limit, interval (rounds are repeated when given)")
