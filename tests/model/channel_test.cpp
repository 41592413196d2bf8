// Channels and select (runtime/sync/chan.cpp, select.cpp, waiter.h), the real ones, in all orders within bounds: values
// are neither lost nor doubled whatever closes, cancels or times out meanwhile; who sends happens before who receives;
// and a channel may be destroyed by whoever knows that the other side was served.
#include <gtest/gtest.h>

#include <optional>

#include "rt/chan.h"
#include "rt/go.h"
#include "rt/select.h"
#include "runtime/sync/chan_core.h"
#include "tests/model/expect.h"
#include "tests/model/green_threads.h"
#include "tests/model/system.h"

namespace {

using rt_model::green;
using channel = rt::chan<std::int64_t>;

enum class ending : std::uint8_t { value, closed, cancelled, timed_out };

// What became of an operation; `got` is what a receive has received.
struct result {
  ending how = ending::value;
  std::int64_t got = 0;
};

result receive(channel& from) {
  result mine;
  try {
    std::optional<std::int64_t> value = from.recv();
    if (value) {
      mine.got = *value;
    } else {
      mine.how = ending::closed;
    }
  } catch (const rt::cancelled&) {
    mine.how = ending::cancelled;
  }
  return mine;
}

result send(channel& to, std::int64_t value) {
  result mine;
  try {
    to.send(value);
  } catch (const rt::cancelled&) {
    mine.how = ending::cancelled;
  } catch (const rt::channel_closed&) {
    mine.how = ending::closed;
  }
  return mine;
}

void expect(bool holds, const char* what) { rt_model::require(holds, what); }

// ---- values
// ----------------------------------------------------------------------------------------------------------

void pass_one(std::size_t capacity) {
  green sender;
  green receiver;
  channel values(capacity);
  int message = 0;
  sender.run([&] {
    message = 7;
    values.send(1);
  });
  receiver.run([&] {
    expect(values.recv() == 1, "another value");
    expect(message == 7, "the send did not happen before the receive");
  });
  rt_model::join();
}

void two_senders(std::size_t capacity) {
  green first;
  green second;
  green receiver;
  channel values(capacity);
  std::int64_t sum = 0;
  first.run([&] { values.send(1); });
  second.run([&] { values.send(2); });
  receiver.run([&] { sum = *values.recv() + *values.recv(); });
  rt_model::join();
  expect(sum == 3, "a value was lost or doubled");
}

// ---- ends
// ------------------------------------------------------------------------------------------------------------

void close_and_receive() {
  green sender;
  green receiver;
  channel values(1);
  result first;
  result second;
  sender.run([&] {
    values.send(1);
    values.close();
  });
  receiver.run([&] {
    first = receive(values);
    second = receive(values);
  });
  rt_model::join();
  expect(first.how == ending::value && first.got == 1, "a value sent before the close was lost");
  expect(second.how == ending::closed, "no end after the close");
}

void close_and_send() {
  green sender;
  green receiver;
  green closer;
  channel values;
  result sent;
  result received;
  sender.run([&] { sent = send(values, 1); });
  receiver.run([&] { received = receive(values); });
  closer.run([&] { values.close(); });
  rt_model::join();
  expect((sent.how == ending::value) == (received.how == ending::value), "sent and not received, or the reverse");
}

void cancel_the_receiver() {
  green sender;
  green receiver;
  green canceller;
  channel values;
  bool sent = false;
  result received;
  sender.run([&] { sent = values.try_send(1); });
  receiver.run([&] { received = receive(values); });
  canceller.run([&] { receiver.cancel(); });
  rt_model::join();
  expect(sent == (received.how == ending::value), "sent and not received, or the reverse");
}

void the_receiver_times_out() {
  green sender;
  green receiver;
  green timer;
  rt_model::set_time(0);
  channel values;
  bool sent = false;
  bool received = false;
  sender.run([&] { sent = values.try_send(1); });
  receiver.run([&] {
    std::int64_t value = 0;
    received = rt::detail::chan_recv(values.core(), &value, 1000) == rt::chan_status::ok;
    expect(!received || value == 1, "no value");
  });
  timer.run([&] {
    rt_model::set_time(1000);
    rt::detail::unpark(receiver);
  });
  rt_model::join();
  expect(sent == received, "sent and not received, or the reverse");
}

// Cancelled and received from at once: the waiter may be claimed while it gives up.
void cancel_the_sender() {
  green sender;
  green receiver;
  green canceller;
  channel values;
  result sent;
  std::optional<std::int64_t> received;
  sender.run([&] { sent = send(values, 1); });
  receiver.run([&] { received = values.try_recv(); });
  canceller.run([&] { sender.cancel(); });
  rt_model::join();
  expect((sent.how == ending::value) == received.has_value(), "sent and not received, or the reverse");
}

// ---- told and gone
// ---------------------------------------------------------------------------------------------------

void the_receiver_destroys_it() {
  green sender;
  green receiver;
  auto* values = new channel;
  sender.run([&] { values->send(1); });
  receiver.run([&] {
    expect(values->recv() == 1, "another value");
    delete values;
  });
  rt_model::join();
}

void the_sender_destroys_it() {
  green sender;
  green receiver;
  auto* values = new channel;
  sender.run([&] {
    values->send(1);
    delete values;
  });
  receiver.run([&] { expect(values->recv() == 1, "another value"); });
  rt_model::join();
}

void the_last_handle_destroys_it() {
  green sender;
  green receiver;
  auto* values = new channel(1);
  auto* other = new channel(*values);
  sender.run([&] {
    values->try_send(1);
    delete values;
  });
  receiver.run([&] {
    other->try_recv();
    delete other;
  });
  rt_model::join();
}

// ---- select
// ----------------------------------------------------------------------------------------------------------

void select_of_two() {
  green first;
  green second;
  green selector;
  channel one;
  channel two;
  bool sent_one = false;
  bool sent_two = false;
  std::int64_t got = 0;
  first.run([&] { sent_one = one.try_send(1); });
  second.run([&] { sent_two = two.try_send(2); });
  selector.run([&] {
    rt::select(rt::on_recv(one, [&](std::optional<std::int64_t> value) { got = *value; }),
               rt::on_recv(two, [&](std::optional<std::int64_t> value) { got = *value; }), rt::otherwise([] {}));
  });
  rt_model::join();
  expect((sent_one ? 1 : 0) + (sent_two ? 2 : 0) == got, "a value was lost or doubled");
}

void select_waits() {
  green sender;
  green selector;
  channel one;
  channel two;
  std::int64_t got = 0;
  sender.run([&] { two.send(2); });
  selector.run([&] {
    rt::select(rt::on_recv(one, [&](std::optional<std::int64_t> value) { got = *value; }),
               rt::on_recv(two, [&](std::optional<std::int64_t> value) { got = *value; }));
  });
  rt_model::join();
  expect(got == 2, "not the value that was sent");
}

// Two channels become ready at once: one case wins, the other sender's value stays with it.
void two_senders_meet_a_select() {
  green first;
  green second;
  green selector;
  channel one;
  channel two;
  bool sent[2] = {};
  std::int64_t got = 0;
  first.run([&] { sent[0] = one.try_send(1); });
  second.run([&] {
    sent[1] = two.try_send(2);
    two.close();
  });
  selector.run([&] {
    rt::select(rt::on_recv(one, [&](std::optional<std::int64_t> value) { got = value.value_or(3); }),
               rt::on_recv(two, [&](std::optional<std::int64_t> value) { got = value.value_or(3); }));
  });
  rt_model::join();
  expect(got != 0, "the select has chosen nothing");
  expect(sent[0] == (got == 1), "the first value was lost or doubled");
  expect(sent[1] == (got == 2), "the second value was lost or doubled");
}

void a_select_is_cancelled() {
  green sender;
  green selector;
  green canceller;
  channel one;
  channel two;
  bool sent = false;
  std::int64_t got = 0;
  sender.run([&] { sent = one.try_send(1); });
  selector.run([&] {
    try {
      rt::select(rt::on_recv(one, [&](std::optional<std::int64_t> value) { got = *value; }),
                 rt::on_recv(two, [&](std::optional<std::int64_t> value) { got = *value; }));
    } catch (const rt::cancelled&) {
    }
  });
  canceller.run([&] { selector.cancel(); });
  rt_model::join();
  expect(sent == (got == 1), "sent and not received, or the reverse");
}

void select_meets_select() {
  green first;
  green second;
  channel one;
  channel two;
  std::int64_t got = 0;
  int sent = 0;
  first.run([&] { rt::select(rt::on_send(one, 1, [&] { sent = 1; }), rt::on_send(two, 2, [&] { sent = 2; })); });
  second.run([&] {
    rt::select(rt::on_recv(two, [&](std::optional<std::int64_t> value) { got = *value; }),
               rt::on_recv(one, [&](std::optional<std::int64_t> value) { got = *value; }));
  });
  rt_model::join();
  expect(got != 0 && got == sent, "the two have not met in one channel");
}

// ---- what must be found
// ----------------------------------------------------------------------------------------------

// A send that tells the receiver before it gives the lock back.
void send_that_tells_under_the_lock(channel& to, std::int64_t value) {
  rt::detail::chan_core& core = *to.core();
  rt::detail::waiter* served = nullptr;
  rt::detail::worker* self = rt::detail::begin_operation();
  core.lock.lock_inside();
  if (core.send_now(&value, served) == rt::chan_status::ok) {
    if (served != nullptr) rt::detail::tell_within(self, *served, rt::detail::wait_outcome::done);
    core.lock.unlock_inside();
    rt::detail::end_operation(self);
    return;
  }
  core.wait(self, true, &value, rt::detail::no_deadline);
}

void told_under_the_lock() {
  green sender;
  green receiver;
  auto* values = new channel;
  sender.run([&] { send_that_tells_under_the_lock(*values, 1); });
  receiver.run([&] {
    values->recv();
    delete values;
  });
  rt_model::join();
}

// A waker that reads the waiter after it has told it: the frame in which the waiter stands may be gone.
void waiter_used_after_it_was_told() {
  green waiting;
  green waking;
  std::atomic<rt::detail::waiter*> listed{nullptr};
  waiting.run([&] {
    auto wait = [&](bool first) __attribute__((noinline)) {
      rt::detail::waiter mine;
      mine.owner = &waiting;
      mine.element = first ? &waiting : nullptr;
      listed.store(&mine, std::memory_order_release);
      if (first) await_outcome(mine, rt::detail::wait_reason::other, rt::detail::no_deadline);
    };
    wait(true);
    wait(false);  // another waiter, where the first one stood
  });
  waking.run([&] {
    rt_model::wait_while(listed, nullptr);
    rt::detail::waiter* one = listed.load(std::memory_order_acquire);
    if (!one->claim()) return;
    bool taken = one->taken;
    one->outcome.store(rt::detail::wait_outcome::done, std::memory_order_release);
    rt::detail::green_thread& owner = *one->owner;  // instead of a copy of the pointer
    if (taken) {
      rt::detail::make_ready(owner);
    } else {
      rt::detail::unpark(owner);
    }
  });
  rt_model::join();
}

// One that gives up without asking whether it was claimed.
void giving_up_without_the_exchange() {
  green sender;
  green receiver;
  channel values;
  bool sent = false;
  bool received = false;
  sender.run([&] { sent = values.try_send(1); });
  receiver.run([&] {
    rt::detail::chan_core& core = *values.core();
    std::int64_t value = 0;
    rt::detail::waiter mine;
    mine.owner = &receiver;
    mine.element = &value;
    core.lock.lock();
    core.receivers().push(mine);
    core.lock.unlock();
    if (is_told(mine)) {
      received = true;
      return;
    }
    core.lock.lock();
    core.receivers().remove(mine);
    core.lock.unlock();
  });
  rt_model::join();
  expect(sent == received, "sent and not received, or the reverse");
}

// ---- the tests
// -------------------------------------------------------------------------------------------------------

TEST(channel_model, values_pass) {
  rt_model::expect_holds("pass_one_unbuffered", {}, [] { pass_one(0); });
  rt_model::expect_holds("pass_one_buffered", {}, [] { pass_one(1); });
  rt_model::options bounded;
  bounded.preemptions = 2;
  rt_model::expect_holds("two_senders_unbuffered", bounded, [] { two_senders(0); });
  rt_model::expect_holds("two_senders_buffered", bounded, [] { two_senders(1); });
}

TEST(channel_model, ends_lose_nothing) {
  rt_model::options bounded;
  bounded.preemptions = 2;
  rt_model::expect_holds("close_and_receive", {}, close_and_receive);
  rt_model::expect_holds("close_and_send", bounded, close_and_send);
  rt_model::expect_holds("cancel_the_receiver", bounded, cancel_the_receiver);
  rt_model::expect_holds("the_receiver_times_out", bounded, the_receiver_times_out);
  rt_model::expect_holds("cancel_the_sender", bounded, cancel_the_sender);
}

TEST(channel_model, whoever_knows_that_the_other_was_served_may_destroy_it) {
  rt_model::expect_holds("the_receiver_destroys_it", {}, the_receiver_destroys_it);
  rt_model::expect_holds("the_sender_destroys_it", {}, the_sender_destroys_it);
  rt_model::expect_holds("the_last_handle_destroys_it", {}, the_last_handle_destroys_it);
}

TEST(channel_model, a_select_takes_one_case) {
  rt_model::options bounded;
  bounded.preemptions = 2;
  rt_model::expect_holds("select_of_two", bounded, select_of_two);
  rt_model::expect_holds("select_waits", {}, select_waits);
  rt_model::expect_holds("two_senders_meet_a_select", bounded, two_senders_meet_a_select);
  rt_model::expect_holds("a_select_is_cancelled", bounded, a_select_is_cancelled);
  rt_model::expect_holds("select_meets_select", bounded, select_meets_select);
}

TEST(channel_model, what_the_protocol_forbids_is_found) {
  rt_model::expect_found("told_under_the_lock", {}, told_under_the_lock, "data race");
  rt_model::expect_found("waiter_used_after_it_was_told", {}, waiter_used_after_it_was_told, "data race");
  rt_model::expect_found("giving_up_without_the_exchange", {}, giving_up_without_the_exchange, "sent and not received");
}

TEST(channel_model, needs_its_orders) {
  rt_model::options bounded;
  bounded.preemptions = 2;
  auto all = [] {
    switch (rt_model::choose(9)) {
      case 0:
        return pass_one(0);
      case 1:
        return close_and_send();
      case 2:
        return close_and_receive();
      case 3:
        return cancel_the_receiver();
      case 4:
        return cancel_the_sender();
      case 5:
        return the_receiver_destroys_it();
      case 6:
        return two_senders_meet_a_select();
      case 7:
        return a_select_is_cancelled();
      default:
        return the_last_handle_destroys_it();
    }
  };
  // Claiming is done under the channel's lock, and giving up is followed by taking it, so the exchanges between the two
  // need be no more than one exchange; and what a select has chosen is read again, as an acquire, in is_told.
  rt_model::expect_all_found(
      "channel", bounded, all,
      {"sync/waiter.h", "sync/chan.cpp", "sync/chan_core.h", "sync/select.cpp", "os/spin_lock.h"},
      {"read-modify-write -> load, store: if (references_.fetch_sub(1",  // a leak, which is no failure of an execution
       "read-modify-write -> load, store: void retain() noexcept", "acquire -> relaxed: while (state_.chosen.load(",
       "acq_rel -> acquire: if (state_.chosen.compare_exchange_strong(undecided, select_state::gave_up",
       "acq_rel -> release: if (state_.chosen.compare_exchange_strong(undecided, select_state::gave_up",
       "failure acquire -> relaxed: if (state_.chosen.compare_exchange_strong(undecided, select_state::gave_up",
       "acq_rel -> acquire: return select->chosen.compare_exchange_strong(",
       "acq_rel -> release: return select->chosen.compare_exchange_strong(",
       "failure acquire -> relaxed: return select->chosen.compare_exchange_strong(",
       "acq_rel -> acquire: return outcome.compare_exchange_strong(",
       "acq_rel -> release: return outcome.compare_exchange_strong(",
       "failure acquire -> relaxed: return outcome.compare_exchange_strong(",
       "acq_rel -> acquire: told = !mine.outcome.compare_exchange_strong(is_pending, wait_outcome::gave_up",
       "acq_rel -> release: told = !mine.outcome.compare_exchange_strong(is_pending, wait_outcome::gave_up",
       "failure acquire -> relaxed: told = !mine.outcome.compare_exchange_strong(is_pending, wait_outcome::gave_up"});
}

}  // namespace
