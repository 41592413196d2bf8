// The word that parking and unparking agree on: its states, and the steps between them. What parking means, and its
// races by name, is told in park.h; tests/model/park_test.cpp and scan_bit_test.cpp run exactly these functions under a
// model checker.
//
// It is a header of its own, and free of everything else, so that the protocol can be read, and checked, in one place.
//
// The collector claims a parked stack by the same word. It exchanges PARKED for SCANNING: the stack is at rest, and
// nobody may run it. A wake that meets SCANNING neither spins nor waits for a scan of unknown length: it leaves
// WAKE_PENDING and goes its way, and the scanner that gives the word back finds that and makes the green thread ready
// in the waker's place. So the wake is late by what the scanner looks at between two questions whether one has come
// (is_wanted), and the waker never is. What was scanned stays SCANNED; the
// wake that takes it from there knows that the stack will change after its scan (claim_result::taken_scanned).
//
// Invariants: 1. the stack is written only while the word is active or notified, and by one M.  2. a scan sees the
// stack at rest, as its last run left it.  3. a wake is never lost: whatever it meets, the green thread runs after
// it.  4. a green thread that has run since its scan is not SCANNED, and whoever woke it was told so.  5. an unpark of
// a dead one stays harmless: it finds active, and leaves a token.
//
// Rejected: a waker that spins until the scan is over (a deep stack is scanned for milliseconds, and wakers hold Ps); a
// lock for each stack (two more atomics for each park); a scan by the waker itself before it makes the green thread
// ready (moves the length of the scan into the latency of whoever wakes).
#pragma once

#include <atomic>
#include <cstdint>

namespace rt::detail::park_word {

inline constexpr std::uint32_t active = 0;        // running, in a run queue, or between the two
inline constexpr std::uint32_t parked = 1;        // off its CPU, in no queue
inline constexpr std::uint32_t notified = 2;      // active, and an unpark came: the next park returns at once
inline constexpr std::uint32_t scanned = 3;       // parked, and scanned since
inline constexpr std::uint32_t scanning = 4;      // parked, and the stack is a scanner's
inline constexpr std::uint32_t wake_pending = 5;  // the same, and a wake came: the scanner makes it ready

using word = std::atomic<std::uint32_t>;

/// Whether a green thread whose word is `value` waits, and no wake is on its way.
inline constexpr bool waits(std::uint32_t value) noexcept {
  return value == parked || value == scanned || value == scanning;
}

/// The green thread itself, before it leaves its CPU: true when a token was there, which is now taken.
inline bool take_token(word& one) noexcept {
  if (one.load(std::memory_order_relaxed) != notified) return false;
  one.exchange(active, std::memory_order_acquire);  // pairs with claim: what the waker wrote before is seen after this
  return true;
}

/// Whoever runs after it, when its stack is at rest: true when it is parked now, and belongs to whoever claims it.
/// False when a token came meanwhile; it is taken, and the green thread is still the caller's, to be made ready.
inline bool settle(word& one) noexcept {
  std::uint32_t expected = active;
  // Release, pairs with claim and begin_scan: whoever claims it sees its stack at rest.
  if (one.compare_exchange_strong(expected, parked, std::memory_order_release, std::memory_order_relaxed)) return true;
  one.exchange(active, std::memory_order_acquire);  // pairs with claim: it sees what the waker wrote
  return false;
}

/// What a claim has found.
enum class claim_result : std::uint8_t {
  token_left,     // it was not parked, or is being scanned
  taken,          // it is the caller's, to be made ready
  taken_scanned,  // the same, and its stack is about to change after a scan
};

/// Anybody: takes it if it is parked, else leaves the token.
inline claim_result claim(word& one) noexcept {
  std::uint32_t now = one.load(std::memory_order_relaxed);
  while (true) {
    std::uint32_t next = notified;
    if (now == parked || now == scanned) next = active;
    if (now == scanning || now == wake_pending) next = wake_pending;
    // One that has the token already gets it again: the exchange orders what the caller wrote before with its taker.
    // Acquire, pairs with settle and end_scan; release, pairs with whoever takes the token, and with end_scan.
    if (one.compare_exchange_weak(now, next, std::memory_order_acq_rel, std::memory_order_relaxed)) {
      return now == parked    ? claim_result::taken
             : now == scanned ? claim_result::taken_scanned
                              : claim_result::token_left;
    }
  }
}

/// A scanner: true when the stack is at rest, and the caller's until it calls end_scan.
inline bool begin_scan(word& one) noexcept {
  std::uint32_t now = one.load(std::memory_order_relaxed);
  while (now == parked || now == scanned) {
    // Acquire, pairs with settle: the scan sees what the stack's last owner wrote.
    if (one.compare_exchange_weak(now, scanning, std::memory_order_acquire, std::memory_order_relaxed)) return true;
  }
  return false;
}

/// The scanner, in between: whether a wake has come. It may give the stack back at once then: who runs is scanned
/// again.
inline bool is_wanted(const word& one) noexcept { return one.load(std::memory_order_relaxed) == wake_pending; }

/// The scanner gives the stack back. True when a wake came meanwhile: the green thread is the scanner's then, to be
/// made ready, and its stack is about to change.
inline bool end_scan(word& one) noexcept {
  std::uint32_t expected = scanning;
  // Release, pairs with claim: who runs it next sees the scan done.
  if (one.compare_exchange_strong(expected, scanned, std::memory_order_release, std::memory_order_relaxed))
    return false;
  one.exchange(active, std::memory_order_acquire);  // pairs with the waker; nobody else changes wake_pending
  return true;
}

}  // namespace rt::detail::park_word
