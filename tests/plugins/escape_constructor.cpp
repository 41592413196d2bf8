// Its constructor tries to get out, before anything of it was asked to run.
#include <rt/rt.h>

#include <fcntl.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace {

struct attempt {
  attempt() {
    traced = ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    trace_error = errno;
    file = open("/etc/shadow", O_RDONLY);
    file_error = errno;
  }
  long traced;
  int trace_error;
  int file;
  int file_error;
};

const attempt in_constructor;

}  // namespace

static void tell(rt::task& self) {
  if (in_constructor.traced >= 0 || in_constructor.file >= 0) throw std::runtime_error("ESCAPED by a constructor");
  self.info(std::string("constructor was refused: ") + strerrorname_np(in_constructor.trace_error) + " " +
            strerrorname_np(in_constructor.file_error));
}

RT_PLUGIN("test-escape-constructor", "1.0.0", "Tries to get out while it is loaded")
RT_ENTRY(tell, "Says what became of it")
