// One plugin in several versions, for replacing it while it runs. TEST_VERSION is 1, 2, or 3, which crashes at once.
#include <rt/rt.h>

#include <csignal>
#include <optional>
#include <string>
#include <thread>

#include <unistd.h>

using namespace std::chrono_literals;

#define TEST_TEXT(number) #number
#define TEST_VERSION_TEXT(number) TEST_TEXT(number) ".0.0"

namespace {

// An object whose type is of this version: its table of virtual functions, and its destructor.
struct page {
  virtual ~page() = default;
  virtual int number() const { return TEST_VERSION; }
  rt::ref<page> next;
};

// These go with the plugin.
rt::ref<page> kept;
rt::root<page> rooted;
std::optional<rt::root<page>> passing;

void answer(rt::net::conn peer) {
  char byte = 0;
  std::error_code error;
  while (peer.read(&byte, 1, error) == 1) {
    if (byte != '\n') continue;
    page* made = rt::make<page>();
    peer.write("version " + std::to_string(made->number()) + "\n", error);
  }
}

void crash() {
#if TEST_VERSION == 3
  ::raise(SIGSEGV);
#endif
}

}  // namespace

// Answers each line with the version, and finishes what it has when it is asked to.
static void serve(rt::task& self) {
  crash();
  rt::net::listener door = rt::net::listen("tcp", self.param("listen", "127.0.0.1:0"));
  self.set_status("listens on " + door.address());
  rt::wait_group open;
  try {
    const rt::context_scope within(self.drain_context());
    for (;;) {
      rt::net::conn peer = door.accept();
      open.add(1);
      rt::go([&open, peer] {
        answer(peer);
        open.done();
      });
    }
  } catch (const rt::context_error&) {
  }
  door.close();
  open.wait();
}

static void wait_for_stop(rt::task& self) {
  crash();
  self.info("version " + std::to_string(TEST_VERSION));
  for (;;) rt::sleep_for(1h);
}

// Ends, and leaves objects whose destructors are of the plugin, reachable and not.
static void leave_objects(rt::task&) {
  for (int i = 0; i < 1000; ++i) {
    page* fresh = rt::make<page>();
    fresh->next = kept;
    kept = fresh;
    if (i % 10 == 0) kept = nullptr;
  }
}

// Ends, and leaves an object that is of the plugin where nobody will ever let go of it.
static void leave_a_root(rt::task&) { static_cast<void>(new rt::root<page>(rt::make<page>())); }

// Ends, and leaves an object in a root among the plugin's variables.
static void leave_a_global_root(rt::task&) { rooted = rt::make<page>(); }

// The same as leave_a_root, with a root that went through a variable of the plugin.
static void leave_a_root_that_passed(rt::task&) {
  passing.emplace(rt::make<page>());
  static_cast<void>(new rt::root<page>(std::move(*passing)));
  passing.reset();
}

static void leave_a_handler(rt::task& self) {
  struct sigaction action {};
  if (self.param("take_back", "").empty())
    action.sa_handler = [](int) {};
  else
    action.sa_handler = SIG_DFL;
  sigaction(SIGUSR2, &action, nullptr);
}

static void leave_a_thread(rt::task&) {
  std::thread([] {
    for (;;) ::pause();
  }).detach();
}

RT_PLUGIN("test-replaceable", TEST_VERSION_TEXT(TEST_VERSION), "May be replaced while it runs")
RT_ENTRY(serve, "Answers each line with its version")
RT_ENTRY(wait_for_stop, "Waits")
RT_ENTRY(leave_objects, "Leaves objects with destructors")
RT_ENTRY(leave_a_root, "Leaves an object that is never freed")
RT_ENTRY(leave_a_global_root, "Leaves an object in a root among the plugin's variables")
RT_ENTRY(leave_a_root_that_passed, "Leaves an object whose root was among them for a moment")
RT_ENTRY(leave_a_handler, "Leaves a handler of a signal")
RT_ENTRY(leave_a_thread, "Leaves a kernel thread")
