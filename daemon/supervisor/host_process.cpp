#include "daemon/supervisor/host_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include <cerrno>
#include <new>
#include <utility>

#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"
#include "daemon/supervisor/crash_report.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;

constexpr std::size_t max_last_words = 16U << 20U;
constexpr std::size_t max_link_queue = 32U << 20U;
constexpr std::chrono::seconds end_after_link{2};
constexpr int kill_wait_ms = 100;

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(number);
}

}  // namespace

json host_end::to_json() const {
  return {{"reason", reason},
          {"detail", detail},
          {"code", signal.empty() ? json(code) : json(nullptr)},
          {"signal", signal.empty() ? json(nullptr) : json(signal)},
          {"at", protocol::rfc3339(at)},
          {"crash", crash}};
}

std::string host_end::describe() const {
  std::string text;
  if (reason == "watchdog" || reason == "protocol" || reason == "violation")
    text = "was killed (" + reason + ")";
  else if (!signal.empty())
    text = "was ended by " + signal;
  else
    text = "exited with status " + std::to_string(code);
  if (!crash.is_null()) return text + ": " + describe_crash(crash);
  if (!detail.empty()) text += ": " + detail;
  return text;
}

host_process::host_process(loop& on, const sandbox::launch_request& request, callbacks on_event)
    : loop_(on), callbacks_(std::move(on_event)), resume_(on), link_closed_(on) {
  sandbox::launched_host host = sandbox::launch(request);
  pid_ = host.pid;
  started_ = last_answer_ = clock::now();
  remains_ = {host.pid, host.reaper, std::move(host.group)};
  layers_ = std::move(host.layers);
  missing_ = std::move(host.missing);
  warnings_ = std::move(host.warnings);
  // A closed link means that the host is ending. One that goes on without its link is of no use to anybody.
  link_ = std::make_unique<byte_stream>(
      loop_, std::move(host.link),
      byte_stream::callbacks{[this](std::string_view bytes) { link_data(bytes); },
                             [this] {
                               link_closed_.start(end_after_link, [this] {
                                 kill("protocol", "it closed its link to the supervisor and did not end");
                               });
                             },
                             {}});
  sandbox::descriptor* const ends[2] = {&host.standard_output, &host.standard_error};
  for (int i = 0; i < 2; ++i) {
    output_[i] = std::make_unique<byte_stream>(
        loop_, std::move(*ends[i]),
        byte_stream::callbacks{[this, i](std::string_view bytes) { output_data(i == 1, bytes); }, [] {}, {}});
  }
  process_ = std::make_unique<readiness>(loop_, std::move(host.process), [this] { process_ended(); });
  process_->rearm();
}

host_process::~host_process() {
  *alive_ = false;
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  // A process dies of SIGKILL within milliseconds, unless the kernel holds it (a disk or a file server that does not
  // answer); the loop must not wait for that.
  auto gone = std::make_shared<std::unique_ptr<readiness>>();
  sandbox::descriptor watched(::fcntl(process_->get(), F_DUPFD_CLOEXEC, 0));
  pollfd waiting{process_->get(), POLLIN, 0};
  if (::poll(&waiting, 1, kill_wait_ms) > 0) {
    sandbox::reap_host(remains_);
  } else if (watched) {
    *gone = std::make_unique<readiness>(loop_, std::move(watched), [gone, remains = remains_] {
      sandbox::reap_host(remains);
      gone->reset();
    });
    (*gone)->rearm();
  }
}

void host_process::request(std::string_view method, json params, std::chrono::nanoseconds timeout, answer_handler done,
                           std::vector<sandbox::descriptor> with) {
  const std::uint64_t id = next_id_++;
  auto& entry = pending_[id];
  entry.done = std::move(done);
  entry.deadline = std::make_unique<timer>(loop_);
  const auto fail_later = [&](std::string kind, std::string message) {
    entry.deadline->start(std::chrono::nanoseconds(0),
                          [this, id, kind = std::move(kind), message = std::move(message)] {
                            auto node = pending_.extract(id);
                            if (!node.empty()) node.mapped().done({json::object(), kind, message});
                          });
  };
  if (!link_->is_open() || broken_) return fail_later("unavailable", "the host has ended");
  // A host that does not read its link must not make us keep requests for it without end.
  if (link_->queued() > max_link_queue) return fail_later("unavailable", "the host does not read its link");
  const std::string name(method);
  json message = {{"id", id}, {"method", name}, {"params", std::move(params)}};
  if (!with.empty()) message["descriptors"] = with.size();
  std::string text = protocol::to_line(message);
  if (text.size() > protocol::max_frame_bytes) return fail_later("invalid_params", "the request is too large");
  entry.deadline->start(timeout, [this, id, name] {
    auto node = pending_.extract(id);
    if (!node.empty()) node.mapped().done({json::object(), "timeout", "the host did not answer " + name + " in time"});
  });
  link_->write(protocol::encode_frame(text), std::move(with));
}

void host_process::kill(std::string reason, std::string detail) {
  expect_end(std::move(reason), std::move(detail));
  if (pid_ >= 0) ::kill(pid_, SIGKILL);
}

void host_process::expect_end(std::string reason, std::string detail) {
  if (!reason_.empty()) return;
  reason_ = std::move(reason);
  detail_ = std::move(detail);
}

void host_process::charge(clock::time_point began) {
  const auto now = clock::now();
  const auto wait = reading_.take_with_debt(std::chrono::duration<double>(now - began).count(), now);
  if (wait.count() == 0 || resume_.running()) return;
  link_->pause_reading();
  for (auto& stream : output_) stream->pause_reading();
  resume_.start(wait, [this] {
    link_->resume_reading();
    for (auto& stream : output_) stream->resume_reading();
  });
}

void host_process::link_data(std::string_view bytes) {
  if (broken_) return;
  const auto began = clock::now();
  const auto alive = alive_;
  try {
    frames_.feed(bytes);
    read_frames();
  } catch (const std::bad_alloc&) {
    if (*alive) protocol_error("more than the supervisor has memory for");
    return;
  }
  if (*alive) charge(began);
}

void host_process::read_frames() {
  // Any of the handlers may destroy this object.
  const auto alive = alive_;
  while (!broken_) {
    const auto frame = frames_.next();
    if (!frame) break;
    handle_frame(*frame);
    if (!*alive) return;
  }
  if (!broken_ && !frames_.error().empty()) protocol_error(frames_.error());
}

void host_process::handle_frame(const std::string& frame) {
  std::string problem;
  auto message = read_host_message(frame, problem);
  if (!message) return protocol_error(problem);
  if (!message->event.is_null()) return handle_event(message->event);
  handle_answer(std::move(*message));
}

void host_process::handle_answer(host_message message) {
  if (message.request >= next_id_) return protocol_error("an answer to a request that was never made");
  last_answer_ = clock::now();
  auto node = pending_.extract(message.request);
  if (!node.empty()) node.mapped().done(std::move(message.answer));  // else its time was over
}

void host_process::handle_event(const json& message) {
  if (message["event"] == "crash") {
    if (crash_.is_null()) crash_ = checked_crash_report(message);
    return;
  }
  if (callbacks_.event) callbacks_.event(message);
}

void host_process::output_data(bool is_error, std::string_view bytes) {
  const auto began = clock::now();
  const auto alive = alive_;
  output_lines_[is_error ? 1 : 0].feed(bytes, [&](const std::string& line) {
    if (callbacks_.output) callbacks_.output(is_error, protocol::clean_text(line));
    return *alive;
  });
  if (*alive) charge(began);
}

void host_process::protocol_error(const std::string& what) {
  broken_ = true;
  kill("protocol", "it sent " + what);
}

void host_process::process_ended() {
  const auto alive = alive_;
  resume_.cancel();
  link_closed_.cancel();
  if (!broken_) link_->read_rest(max_last_words);
  if (!*alive) return;
  for (auto& stream : output_) {
    stream->read_rest(max_last_words);
    if (!*alive) return;
  }
  for (int i = 0; i < 2; ++i) {
    if (const std::string rest = output_lines_[i].rest(); !rest.empty() && callbacks_.output)
      callbacks_.output(i == 1, protocol::clean_text(rest));
    if (!*alive) return;
  }
  link_->close();
  for (auto& stream : output_) stream->close();

  const sandbox::process_end end = sandbox::reap_host(remains_);
  pid_ = -1;
  fail_pending("unavailable", "the host has ended");
  if (!*alive) return;

  host_end result;
  result.at = std::chrono::system_clock::now();
  result.code = end.signalled ? 0 : end.code;
  if (end.signalled) result.signal = signal_name(end.code);
  result.crash = crash_;
  result.counts = end.counts;
  result.detail = detail_;
  result.reason = !reason_.empty() ? reason_ : end.signalled ? "signal" : "exit";
  if (reason_.empty() && end.signalled && end.out_of_memory) {
    result.reason = "oom";
    result.detail = "limits.memory of the sandbox was reached: raise it, or have its tasks take less";
  }
  if (reason_.empty() && end.signalled && end.code == SIGSYS && crash_.is_null())
    result.detail = "a system call of another architecture, or a refused one by a thread that blocks SIGSYS";
  const auto tell = std::move(callbacks_.ended);
  if (tell) tell(std::move(result));
}

void host_process::fail_pending(const std::string& kind, const std::string& message) {
  const auto alive = alive_;
  auto waiting = std::exchange(pending_, {});
  for (auto& [id, entry] : waiting) {
    entry.done({json::object(), kind, message});
    if (!*alive) return;
  }
}

}  // namespace rtd::supervisor
