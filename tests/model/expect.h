// What the tests of protocols say.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/model/checker/model.h"

namespace rt_model {

/// No execution within the bounds fails.
inline void expect_holds(const std::string& name, const options& bounds, const std::function<void()>& body) {
  outcome result = explore(name, bounds, body);
  EXPECT_FALSE(result.failed) << result.what;
  EXPECT_TRUE(result.complete) << name << " has more than " << result.executions << " executions";
  std::printf("%s: %llu executions (%llu left as redundant), %.2f s\n", name.c_str(),
              static_cast<unsigned long long>(result.executions), static_cast<unsigned long long>(result.redundant),
              result.seconds);
}

/// Some execution fails, with this text in its report.
inline void expect_found(const std::string& name, const options& bounds, const std::function<void()>& body,
                         const std::string& text) {
  outcome result = explore_apart(name, bounds, body);
  EXPECT_TRUE(result.failed) << name << ": not found in " << result.executions << " executions";
  EXPECT_NE(result.what.find(text), std::string::npos) << result.what;
  std::printf("%s: found in execution %llu: %s\n", name.c_str(), static_cast<unsigned long long>(result.executions),
              result.what.substr(0, result.what.find('\n')).c_str());
}

/// Each weaker order, and each read-modify-write in two halves, at each line of these files is found; but for those
/// that are `known` not to be needed, each as the beginning of "ORDER -> ORDER: source line" (all of it, if a $ stands
/// at the end). The caller says why.
inline void expect_all_found(const std::string& name, const options& bounds, const std::function<void()>& body,
                             const std::vector<std::string>& files, const std::vector<std::string>& known = {}) {
  std::vector<std::string> survivors = surviving_mutations(name, bounds, body, files);
  std::vector<bool> seen(known.size(), false);
  for (const std::string& one : survivors) {
    bool listed = false;
    for (std::size_t i = 0; i < known.size(); ++i) {
      if ((one + "$").rfind(known[i], 0) != 0) continue;
      listed = seen[i] = true;
    }
    EXPECT_TRUE(listed) << name << ": no execution needs this order, or the test is too small: " << one;
  }
  for (std::size_t i = 0; i < known.size(); ++i) {
    EXPECT_TRUE(seen[i]) << name << ": it is listed as not needed, and was found: " << known[i];
  }
}

}  // namespace rt_model
