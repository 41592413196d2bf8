#include <unistd.h>

#include <iostream>

#include "daemon/ctl/run.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  return rtd::ctl::run(argc, argv, {std::cout, std::cerr, isatty(STDOUT_FILENO) == 1, isatty(STDERR_FILENO) == 1});
}
