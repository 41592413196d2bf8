// How many kernel threads of the process could call into the runtime at any moment.
//
// A thread that the program or one of its libraries started may wake any green thread whenever it likes, so whoever
// wants to prove that nothing wakes one has to know that there is no such thread. The kernel's count of all threads,
// less those that have declared themselves, is the answer.
//
// The race by name: *a thread that comes or goes while it is counted*. A thread declares itself when it runs already,
// and takes the declaration back while it still runs, so at any moment the declared ones are among those that the
// kernel counts. The kernel's count is taken between two looks at the declarations; it counts only when no declaration
// was made or taken back between them.
//
// Rejected: interposing pthread_create, which sees neither the C library's own helper threads (SIGEV_THREAD) nor those
// that were there first; parsing a file of /proc where there is a /proc, which costs ten times as much as the one
// stat() here; an open folder of /proc for a process that has none, from which ".." leads to the whole machine.
#pragma once

namespace rt::os {

/// While it lives, the thread that made it counts as one that wakes no green thread but by what the runtime itself
/// knows of (timers, sockets, look-ups).
class own_thread {
 public:
  own_thread() noexcept;
  ~own_thread();
  own_thread(const own_thread&) = delete;
  own_thread& operator=(const own_thread&) = delete;
};

/// For a process that has no /proc: `descriptor` is its own /proc/self/stat, opened before. It stays open for good and is
/// read instead. Before other threads ask.
void count_threads_in(int descriptor) noexcept;

/// Whether the process certainly has no thread but declared ones. False as well when that cannot be found out: without
/// /proc, or while threads come and go. One system call.
bool only_own_threads() noexcept;

}  // namespace rt::os
