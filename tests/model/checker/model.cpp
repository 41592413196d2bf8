#include "tests/model/checker/model.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>

#include "tests/model/checker/execution.h"
#include "tests/model/checker/sites.h"

namespace rt_model {

namespace {

execution& require_execution() {
  execution* run = current_execution();
  if (run == nullptr) {
    std::fprintf(stderr, "model checker: called outside of an execution\n");
    std::abort();
  }
  return *run;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double budget() {
  const char* text = std::getenv("RT_MODEL_BUDGET");
  return text == nullptr ? 0 : std::atof(text);
}

// The execution that RT_MODEL_REPLAY asks for, if it is one of this exploration.
struct replay {
  bool wanted = false;
  bool random = false;
  std::uint64_t number = 0;  // or its seed
};
replay asked_for(const std::string& name) {
  const char* text = std::getenv("RT_MODEL_REPLAY");
  if (text == nullptr || std::strncmp(text, name.c_str(), name.size()) != 0 || text[name.size()] != ':') return {};
  text += name.size() + 1;
  bool random = std::strncmp(text, "seed", 4) == 0;
  return {true, random, std::strtoull(random ? text + 4 : text, nullptr, 10)};
}

std::string describe_failure(const std::string& name, const execution& run, std::uint64_t number, bool random) {
  return run.failure() + "\n" + (random ? "random execution, seed " : "execution ") + std::to_string(number) + " of " +
         name + " (RT_MODEL_REPLAY=" + name + ":" + (random ? "seed" : "") + std::to_string(number) +
         " shows it again):\n" + run.trace();
}

outcome explore_with(execution& run, const std::string& name, const options& bounds,
                     const std::function<void()>& body) {
  outcome result;
  auto begin = std::chrono::steady_clock::now();
  replay shown = asked_for(name);
  auto one = [&](bool random, std::uint64_t number) {
    execution::end how = run.run(body);
    ++result.executions;
    if (how == execution::end::redundant) ++result.redundant;
    if (how == execution::end::failed) {
      result.failed = true;
      result.what = describe_failure(name, run, number, random);
    }
    if (shown.wanted && shown.random == random && shown.number == number) {
      std::fprintf(stderr, "%s %s%llu:\n%s", name.c_str(), random ? "seed " : "execution ",
                   static_cast<unsigned long long>(number), run.trace().c_str());
    }
    return how != execution::end::failed;
  };
  if (shown.wanted && shown.random) {
    run.choices().begin(true, shown.number);
    one(true, shown.number);
    return result;
  }
  while (true) {
    run.choices().begin();
    if (!one(false, result.executions + 1)) break;
    if (!run.choices().advance()) {
      result.complete = true;
      break;
    }
    if (result.executions >= bounds.most_executions) break;
    if (shown.wanted && result.executions == shown.number) return result;
  }
  double extra = run.mutated().what == change::none ? budget() : 0;
  if (!result.failed && extra > 0) {
    std::uint64_t seed = std::random_device()();  // a budget goes where no run has been
    std::fprintf(stderr, "%s: random executions for %.0f s from seed %llu\n", name.c_str(), extra,
                 static_cast<unsigned long long>(seed));
    for (auto random_begin = std::chrono::steady_clock::now(); !result.failed && seconds_since(random_begin) < extra;
         ++seed) {
      run.choices().begin(true, seed);
      one(true, seed);
    }
  }
  result.seconds = seconds_since(begin);
  return result;
}

void write_all(int descriptor, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    ssize_t count = write(descriptor, text.data() + done, text.size() - done);
    if (count <= 0) return;
    done += static_cast<std::size_t>(count);
  }
}

// Runs the work in a forked process and returns what it returns.
std::string apart(const std::function<std::string()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return "";
  std::fflush(nullptr);
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    write_all(ends[1], work());
    close(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return "F 0 0 0\nthe process was ended by signal " + std::to_string(WTERMSIG(status));
  return text;
}

std::string pack(const outcome& one) {
  char head[96];
  std::snprintf(head, sizeof head, "%c %llu %llu %f\n",
                one.failed     ? 'F'
                : one.complete ? 'C'
                               : 'I',
                static_cast<unsigned long long>(one.executions), static_cast<unsigned long long>(one.redundant),
                one.seconds);
  return head + one.what;
}

outcome unpack(const std::string& text) {
  outcome one;
  char how = 'F';
  unsigned long long executions = 0;
  unsigned long long redundant = 0;
  std::sscanf(text.c_str(), "%c %llu %llu %lf", &how, &executions, &redundant, &one.seconds);
  one.failed = how == 'F';
  one.complete = how == 'C';
  one.executions = executions;
  one.redundant = redundant;
  std::size_t line = text.find('\n');
  if (line != std::string::npos) one.what = text.substr(line + 1);
  return one;
}

bool ends_in(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

outcome explore(const std::string& name, const options& bounds, const std::function<void()>& body) {
  execution run(bounds);
  return explore_with(run, name, bounds, body);
}

outcome explore_apart(const std::string& name, const options& bounds, const std::function<void()>& body) {
  return unpack(apart([&] { return pack(explore(name, bounds, body)); }));
}

std::vector<std::string> surviving_mutations(const std::string& name, const options& bounds,
                                             const std::function<void()>& body, const std::vector<std::string>& files) {
  execution run(bounds);
  outcome plain = explore_with(run, name, bounds, body);
  if (plain.failed) return {"it fails without any change: " + plain.what};

  std::vector<std::uintptr_t> addresses;
  std::vector<operation> operations;
  for (const auto& [site, one] : run.sites()) {
    addresses.push_back(site);
    operations.push_back(one);
  }
  std::vector<source_site> places = find_sites(addresses);
  // The copies of one line that inlining has made are changed together; so are its operations that look the same.
  struct candidate {
    mutation changed;
    std::string text;
    std::string place;
  };
  std::map<std::string, candidate> candidates;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    bool looked_for = false;
    for (const std::string& file : files) looked_for |= ends_in(places[i].file, file);
    if (!looked_for) continue;
    for (const mutation& one : mutations_of(operations[i])) {
      std::string what = describe(one, operations[i]);
      std::string text = what + ": " + source_line(places[i]);
      char key[32];
      std::snprintf(key, sizeof key, "%06d ", places[i].line);
      candidate& entry = candidates[places[i].file + key + what];
      if (entry.text.empty()) {
        entry.changed = one;
        entry.text = text;
        entry.place = places[i].file.substr(places[i].file.rfind('/') + 1) + ":" + std::to_string(places[i].line);
      }
      entry.changed.sites.insert(addresses[i]);
    }
  }

  std::vector<std::string> survivors;
  std::printf("%s: %llu executions (%llu left as redundant), %.2f s; %zu changes\n", name.c_str(),
              static_cast<unsigned long long>(plain.executions), static_cast<unsigned long long>(plain.redundant),
              plain.seconds, candidates.size());
  for (auto& [key, one] : candidates) {
    outcome changed = unpack(apart([&] {
      run.mutated() = one.changed;
      return pack(explore_with(run, name, bounds, body));
    }));
    std::string why = changed.what.substr(0, changed.what.find('\n'));
    std::printf("  %-9s %8llu  %-20s %s%s%s\n", changed.failed ? "found" : "SURVIVES",
                static_cast<unsigned long long>(changed.executions), one.place.c_str(), one.text.c_str(),
                changed.failed ? "\n                      " : "", why.c_str());
    if (!changed.failed) survivors.push_back(one.text);
  }
  return survivors;
}

void thread(std::function<void()> body) {
  execution& run = require_execution();
  unwatched guard;
  run.start_thread(std::move(body));
}
void join() { require_execution().join_all(); }
int choose(int count) {
  execution& run = require_execution();
  unwatched guard;
  return run.choose(count);
}
void fail(const std::string& what) { require_execution().fail(what); }
void name(const volatile void* address, const std::string& text) {
  execution& run = require_execution();
  unwatched guard;
  run.name(address, text);
}
void barrier() {
  operation one;
  one.what = step::barrier;
  one.order = __ATOMIC_SEQ_CST;
  one.site = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  require_execution().barrier(one);
}

bool in_execution() noexcept { return current_execution() != nullptr; }

void block_until(const volatile void* word, std::size_t size, bool (*condition)(std::uint64_t, std::uint64_t),
                 std::uint64_t data) {
  operation one;
  one.what = step::block;
  one.address = word;
  one.size = static_cast<std::uint8_t>(size);
  one.order = __ATOMIC_ACQUIRE;
  one.failure_order = __ATOMIC_ACQUIRE;
  one.site = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  one.condition = condition;
  one.data = data;
  require_execution().block(one);
}

}  // namespace rt_model
