// A plugin as its author would write it: outside rtd's tree, with nothing but what is installed.
#include <rt/rt.h>

#include <chrono>
#include <string>

namespace {

void answer(rt::task& self) {
  rt::chan<std::string> answers(1);
  rt::scope scope;
  scope.go([&] { answers.send(self.param("text", "forty-two")); });
  scope.wait();
  self.set_status(answers.recv().value_or("none"));
  for (;;) rt::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace

RT_PLUGIN("outside", "2.5.0", "Built outside the tree of rtd")
RT_ENTRY(answer, "Shows its parameter as its status until it is stopped")
