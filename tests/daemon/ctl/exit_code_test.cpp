#include "daemon/ctl/exit_code.h"

#include <gtest/gtest.h>

#include "daemon/protocol/error.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;
using protocol::error_kind;

exit_code code_for(error_kind kind) { return exit_code_for_kind(protocol::to_string(kind)); }

TEST(ExitCode, FollowsTheKind) {
  EXPECT_EQ(code_for(error_kind::permission_denied), exit_code::permission_denied);
  EXPECT_EQ(code_for(error_kind::not_found), exit_code::not_found);
  EXPECT_EQ(code_for(error_kind::invalid_config), exit_code::invalid_config);
  EXPECT_EQ(code_for(error_kind::timeout), exit_code::timed_out);
  EXPECT_EQ(code_for(error_kind::unavailable), exit_code::not_ready);
  EXPECT_EQ(code_for(error_kind::invalid_params), exit_code::usage);
}

TEST(ExitCode, IsOneForTheOtherKinds) {
  for (const auto kind :
       {error_kind::parse_error, error_kind::invalid_request, error_kind::method_not_found, error_kind::internal,
        error_kind::already_exists, error_kind::invalid_state, error_kind::busy, error_kind::conflict,
        error_kind::plugin_rejected, error_kind::sandbox_failed, error_kind::unsupported})
    EXPECT_EQ(code_for(kind), exit_code::failed) << protocol::to_string(kind);
  EXPECT_EQ(exit_code_for_kind("of a later version"), exit_code::failed);
  EXPECT_EQ(exit_code_for_kind(""), exit_code::failed);
}

TEST(ExitCode, HasTheNumbersThatScriptsKnow) {
  EXPECT_EQ(static_cast<int>(exit_code::failed), 1);
  EXPECT_EQ(static_cast<int>(exit_code::usage), 2);
  EXPECT_EQ(static_cast<int>(exit_code::not_ready), 3);
  EXPECT_EQ(static_cast<int>(exit_code::permission_denied), 4);
  EXPECT_EQ(static_cast<int>(exit_code::not_found), 5);
  EXPECT_EQ(static_cast<int>(exit_code::invalid_config), 6);
  EXPECT_EQ(static_cast<int>(exit_code::unreachable), 7);
  EXPECT_EQ(static_cast<int>(exit_code::timed_out), 8);
}

TEST(TaskStatus, StandsForTheEnd) {
  EXPECT_EQ(exit_status_of_task({{"state", "completed"}}), 0);
  EXPECT_EQ(exit_status_of_task({{"state", "stopped"}}), 0);
  EXPECT_EQ(exit_status_of_task({{"state", "failed"}, {"last_exit", {{"reason", "error"}, {"error", "no"}}}}), 1);
  EXPECT_EQ(exit_status_of_task({{"state", "fatal"}, {"last_exit", nullptr}}), 1);
  EXPECT_EQ(exit_status_of_task({{"state", "failed"}, {"last_exit", {{"signal", "SIGSEGV"}}}}), 139);
  EXPECT_EQ(exit_status_of_task({{"state", "failed"}, {"last_exit", {{"signal", 9}}}}), 137);
  EXPECT_EQ(exit_status_of_task({{"state", "failed"}, {"last_exit", {{"signal", 0}}}}), 1);
  EXPECT_EQ(exit_status_of_task(json::object()), 1);
  EXPECT_EQ(exit_status_of_task(nullptr), 1);
}

TEST(SignalNumber, ReadsNumbersAndNames) {
  EXPECT_EQ(signal_number(11), 11);
  EXPECT_EQ(signal_number("11"), 11);
  EXPECT_EQ(signal_number("SIGABRT"), 6);
  EXPECT_EQ(signal_number("KILL"), 9);
  EXPECT_EQ(signal_number("SIGNONE"), std::nullopt);
  EXPECT_EQ(signal_number(1000), std::nullopt);
  EXPECT_EQ(signal_number(-3), std::nullopt);
  EXPECT_EQ(signal_number(nullptr), std::nullopt);
  EXPECT_EQ(signal_number(1.5), std::nullopt);
}

}  // namespace
}  // namespace rtd::ctl
