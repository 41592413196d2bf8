// The code that docs/plugins.md shows.
#include <gtest/gtest.h>

#include <string>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(guide);

static const rt::context_key<std::string> user;

std::string answer(const rt::context& request, const rt::chan<std::string>& backend) {
  rt::after_func_handle note = rt::after_func(request, [] { /* tell the backend to give up */ });
  std::optional<std::string> text = backend.recv(request);  // throws rt::context_error when the request ends
  note.stop();
  return *request.value(user) + ": " + text.value_or("nothing");
}

std::string serve(const rt::chan<std::string>& backend) {
  rt::cancellable_context limited = rt::with_timeout(rt::current_context(), 2s);
  rt::context request = rt::with_value(limited, user, "ada");
  try {
    return answer(request, backend);
  } catch (const rt::context_error& error) {
    return error.code() == std::errc::timed_out ? "too late" : "given up";
  }
}

TEST_P(guide, contexts) {
  run([] {
    rt::chan<std::string> backend(1);
    backend.send("42");
    EXPECT_EQ(serve(backend), "ada: 42");
    rt::cancellable_context work = rt::with_cancel(rt::current_context());
    work.cancel();
    rt::context_scope obey(work);
    EXPECT_EQ(serve(backend), "given up");
  });
}

rt::coroutine<std::size_t> length_of(rt::chan<std::string> lines) {
  std::size_t sum = 0;
  while (std::optional<std::string> line = co_await rt::async_recv(lines)) sum += line->size();
  co_return sum;
}

rt::coroutine<> count(rt::chan<std::string> lines, rt::chan<std::size_t> result) {
  co_await rt::async_send(result, co_await length_of(lines));
}

TEST_P(guide, coroutines) {
  run([] {
    rt::chan<std::string> lines;
    rt::chan<std::size_t> result;
    rt::go(count(lines, result));
    lines.send("one");
    lines.send("three");
    lines.close();
    EXPECT_EQ(result.recv(), 8U);
  });
}

}  // namespace
