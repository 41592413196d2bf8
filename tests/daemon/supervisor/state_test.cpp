// The state file: what is read is what was written, whatever happens to the file in between.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "daemon/supervisor/state_file.h"
#include "daemon/supervisor/state_store.h"
#include "daemon/supervisor/task_record.h"
#include "tests/daemon/supervisor/temporary_folder.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using test::temporary_folder;

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

TEST(state_file, comes_back_as_it_was_written) {
  const json content = {{"tasks", {{"a", {{"state", "running"}}}}}, {"text", "\u00fcml\u00e4ut \n"}};
  const decoded_state read = decode_state(encode_state(content));
  ASSERT_TRUE(read.content) << read.problem;
  EXPECT_EQ(*read.content, content);
  // The checksum is what other tools compute (crc32 of the text after the first line).
  EXPECT_EQ(encode_state(json::object()), "rtd-state 1 dda1b006 3\n{}\n");
}

TEST(state_file, says_what_is_wrong) {
  const auto problem = [](std::string_view text) { return decode_state(text).problem; };
  EXPECT_EQ(problem(""), "it is empty");
  EXPECT_EQ(problem("{}"), "it does not begin with \"rtd-state\"");
  EXPECT_EQ(problem(std::string(200, 'x')), "it does not begin with \"rtd-state\"");
  EXPECT_EQ(problem("rtd-state 2 00000000 3\n{}\n"), "it has format 2, and this rtd reads format 1");
  EXPECT_EQ(problem("rtd-state 1 00000000 x\n{}\n"), "its header has no length");
  EXPECT_EQ(problem("rtd-state 1 00000000 4\n{}\n"), "it has 3 bytes of text, and its header says 4");
  EXPECT_EQ(problem("rtd-state 1 00000000 3\n{}\n"), "its checksum is dda1b006, and its header says 00000000");
  const std::string list = encode_state(json::array());
  EXPECT_EQ(problem(list), "it holds no object");
}

TEST(state_file, no_damage_goes_unnoticed) {
  const std::string good = encode_state({{"tasks", {{"job", {{"restarts", 12}, {"keep", true}}}}}});
  for (std::size_t at = 0; at < good.size(); ++at) {
    EXPECT_FALSE(decode_state(good.substr(0, at)).content) << "cut at " << at;
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ (1U << static_cast<unsigned>(bit)));
      EXPECT_FALSE(decode_state(bad).content) << "bit " << bit << " of byte " << at;
    }
  }
}

TEST(state_file, any_bytes_at_all_are_only_refused) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::minstd_rand random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string text = round % 2 == 0 ? "rtd-state 1 " : "";
    for (auto length = random() % 200; length > 0; --length) text += static_cast<char>(random());
    EXPECT_FALSE(decode_state(text).content);
  }
}

TEST(state_file, is_replaced_as_a_whole_and_for_the_owner_only) {
  const temporary_folder folder;
  const std::string path = folder.path() + "/state.json";
  EXPECT_FALSE(read_state_file(path));
  put(path + ".new", "left behind by an interrupted write");
  write_state_file(path, "one");
  EXPECT_EQ(read_state_file(path), "one");
  write_state_file(path, "two");
  EXPECT_EQ(read_state_file(path), "two");
  EXPECT_NE(::access((path + ".new").c_str(), F_OK), 0);
  struct stat about = {};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
}

TEST(state_file, a_write_that_fails_leaves_the_former_file) {
  const temporary_folder folder;
  const std::string path = folder.path() + "/state.json";
  write_state_file(path, "good");
  // The place of the new file is taken by a folder that cannot be unlinked.
  ASSERT_EQ(::mkdir((path + ".new").c_str(), 0700), 0);
  EXPECT_THROW(write_state_file(path, "lost"), std::runtime_error);
  EXPECT_EQ(read_state_file(path), "good");
  EXPECT_THROW(write_state_file(folder.path() + "/nowhere/state.json", "lost"), std::runtime_error);
}

TEST(state_file, links_are_not_followed) {
  const temporary_folder folder;
  const std::string path = folder.path() + "/state.json";
  put(folder.path() + "/other", "mine");
  ASSERT_EQ(::symlink("other", path.c_str()), 0);
  EXPECT_THROW(read_state_file(path), std::runtime_error);
  ASSERT_EQ(::symlink("other", (path + ".new").c_str()), 0);
  write_state_file(path, "state");
  EXPECT_EQ(text_of(folder.path() + "/other"), "mine");
  EXPECT_EQ(read_state_file(path), "state");
}

TEST(state_file, keeps_five_that_were_set_aside) {
  const temporary_folder folder;
  const std::string path = folder.path() + "/state.json";
  for (int i = 1; i <= 7; ++i) {
    put(path, std::to_string(i));
    EXPECT_EQ(set_aside(path), path + ".bad-1");
  }
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(text_of(path + ".bad-" + std::to_string(i)), std::to_string(8 - i));
  EXPECT_NE(::access((path + ".bad-6").c_str(), F_OK), 0);
}

// A folder in its place is no file, either; and neither can take the other's name.
TEST(state_file, folders_and_files_are_set_aside_in_any_order) {
  const temporary_folder folder;
  const std::string path = folder.path() + "/state.json";
  const auto is_folder = [](int number) { return number % 3 == 0; };
  constexpr int many = 13;
  for (int i = 1; i <= many; ++i) {
    if (is_folder(i)) {
      ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
      put(path + "/mine", std::to_string(i));
    } else {
      put(path, std::to_string(i));
    }
    EXPECT_EQ(set_aside(path), path + ".bad-1");
    for (int k = 1; k <= std::min(i, 5); ++k) {
      const int which = i + 1 - k;
      EXPECT_EQ(text_of(path + ".bad-" + std::to_string(k) + (is_folder(which) ? "/mine" : "")), std::to_string(which));
    }
  }
}

struct store_case : testing::Test {
  temporary_folder folder;
  loop events_loop;
  log lines{make_null_writer()};
  event_log events{lines};
  services with{events_loop, lines, events};
  std::string file = folder.path() + "/state.json";
};

TEST_F(store_case, tells_each_save_when_the_disk_has_it) {
  state_store store(with, folder.path());
  EXPECT_EQ(store.load(), json::object());
  int told = 0;
  for (int i = 1; i <= 100; ++i)
    store.save({{"n", i}}, [&, i](const std::string& problem) {
      EXPECT_EQ(problem, "");
      EXPECT_EQ(++told, i) << "in order";
      EXPECT_GE(decode_state(text_of(file)).content.value()["n"].get<int>(), i);
      if (i == 100) events_loop.stop();
    });
  events_loop.run();
  EXPECT_EQ(told, 100);
  EXPECT_LE(store.figures().saves_total.at("success"), 100U);
  EXPECT_TRUE(store.figures().last_save_timestamp_seconds);
}

TEST_F(store_case, its_end_writes_what_waits) {
  {
    state_store store(with, folder.path());
    for (int i = 0; i < 10; ++i) store.save({{"n", i}}, nullptr);
  }
  EXPECT_EQ(state_store(with, folder.path()).load(), (json{{"n", 9}}));
}

TEST_F(store_case, a_damaged_file_is_set_aside_and_said) {
  put(file, "rtd-state 1 00000000 3\n{}\n");
  state_store store(with, folder.path());
  EXPECT_EQ(store.load(), json::object());
  EXPECT_EQ(text_of(file + ".bad-1"), "rtd-state 1 00000000 3\n{}\n");
  EXPECT_EQ(store.figures().set_aside_total, 1U);
  const auto said = events.last(1).front();
  EXPECT_EQ(said.kind, "state_refused");
  EXPECT_NE(said.message.find("state.json: its checksum is dda1b006"), std::string::npos) << said.message;
  EXPECT_NE(said.message.find("set aside as " + file + ".bad-1"), std::string::npos) << said.message;
}

TEST_F(store_case, a_disk_that_takes_nothing_is_said_once_and_when_it_is_over) {
  state_store store(with, folder.path());
  ASSERT_EQ(::mkdir((file + ".new").c_str(), 0700), 0);
  std::function<void(int)> save = [&](int left) {
    store.save({{"left", left}}, [&, left](const std::string& problem) {
      EXPECT_EQ(problem.empty(), left == 0) << problem;
      EXPECT_EQ(store.problem(), problem);
      if (left == 1) ::rmdir((file + ".new").c_str());
      if (left == 0) return events_loop.stop();
      save(left - 1);
    });
  };
  save(3);
  events_loop.run();
  EXPECT_EQ(store.figures().saves_total, (metrics::count_map{{"failure", 3}, {"success", 1}}));
  const auto said = events.last(10);
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0].kind, "state_save_failed");
  EXPECT_EQ(said[1].kind, "state_saved");
}

TEST_F(store_case, a_second_daemon_is_kept_out) {
  const state_store store(with, folder.path());
  try {
    const state_store second(with, folder.path());
    FAIL() << "two share a folder";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("is in use by another rtd"), std::string::npos) << error.what();
  }
}

TEST_F(store_case, task_records_come_back) {
  config::task spec;
  spec.plugin = "hello";
  spec.entry = "serve";
  spec.params["listen"] = {"a", "b"};
  managed_task task(events_loop, "job", spec, false);
  task.keep = task.wanted = true;
  task.restarts = 3;
  task.runs_total = {{"ok", 2}, {"error", 1}};
  task.cpu_seconds_of_ended_runs = 1.25;
  task.last_exit = task_exit{"failed", "no route", std::chrono::system_clock::now()};
  for (int i = 0; i < 40; ++i) task.enter(task_state::running, "entry " + std::to_string(i));
  const json saved = json::parse(save_task(task).dump());
  EXPECT_TRUE(wants_start(saved));
  std::string problem;
  const auto same = saved_spec("job", saved, problem);
  ASSERT_TRUE(same) << problem;
  EXPECT_EQ(*same, spec);

  managed_task clean(events_loop, "job", *same, false);
  restore_task(clean, saved, true);
  EXPECT_EQ(clean.state, task_state::stopped);
  EXPECT_EQ(clean.restarts, 3U);
  EXPECT_EQ(clean.runs_total, task.runs_total);
  EXPECT_EQ(clean.last_exit->error, "no route");
  ASSERT_EQ(clean.history.size(), saved_history_entries);
  EXPECT_EQ(clean.history.back().message, "entry 39");

  managed_task crashed(events_loop, "job", *same, false);
  restore_task(crashed, saved, false);
  EXPECT_EQ(crashed.last_exit->reason, "daemon");
  EXPECT_EQ(crashed.runs_total.at("crashed"), 1U);
  EXPECT_EQ(crashed.history.back().message, "the daemon ended without stopping it, when it was running");

  // One that listened had no run that could have been cut off.
  managed_task listening(events_loop, "job", *same, false);
  nlohmann::json of_listening = saved;
  of_listening["state"] = "listening";
  restore_task(listening, of_listening, false);
  EXPECT_EQ(listening.state, task_state::stopped);
  EXPECT_EQ(listening.last_exit->error, "no route");
}

TEST_F(store_case, records_that_make_no_sense_do_no_harm) {
  for (const char* text :
       {"null", "[]", "{}", R"({"state": 5, "runs": [], "history": {}, "last_exit": "x", "keep": "yes"})",
        R"({"state": "flying", "restarts": -1, "cpu_seconds": 1e300, "history": [1, {}, {"state": "running"}]})",
        R"({"task": {"plugin": "../x", "entry": 5}})"}) {
    const json saved = json::parse(text);
    managed_task task(events_loop, "job", {}, true);
    restore_task(task, saved, false);
    EXPECT_EQ(task.restarts, 0U);
    EXPECT_FALSE(wants_start(saved));
    std::string problem;
    EXPECT_FALSE(saved_spec("job", saved, problem));
    EXPECT_EQ(problem.empty(), !saved.contains("task")) << text;
  }
}

}  // namespace
}  // namespace rtd::supervisor
