#include "runtime/heap/heap_check.h"

#include <bit>
#include <cstdarg>
#include <cstdio>

namespace rt::detail {

namespace {

constexpr std::memory_order relaxed = std::memory_order_relaxed;

std::size_t objects_in(const span& one) noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i * 64 < one.slot_count(); ++i) {
    std::uint64_t used = one.in_use[i].load(relaxed) | slots_below(one.free_index.load(relaxed), i);
    count += static_cast<std::size_t>(std::popcount(used));
  }
  return count;
}

bool has_free_slots(const span& one) noexcept { return objects_in(one) < one.slot_count(); }

class examination {
 public:
  examination(heap_state& heap, char* text, std::size_t size) noexcept : heap_(heap), text_(text), size_(size) {}

  bool run() noexcept RT_REQUIRES(heap_.owners_lock) {
    return look_at_pages() || look_at_caches_of_pages() || look_at_owners() || look_at_sums();
  }

 private:
  __attribute__((format(printf, 2, 3))) bool fault(const char* format, ...) noexcept {
    va_list values;
    va_start(values, format);
    std::vsnprintf(text_, size_, format, values);
    va_end(values);
    return true;
  }

  bool fault_of(const span& one, const char* what) noexcept {
    return fault("the span of pages %u to %u (%zu slots of %zu bytes, kind %d, place %d, end %d) %s", one.first_page(),
                 one.first_page() + one.page_count.load(relaxed) - 1, one.slot_count(), one.element_size(),
                 static_cast<int>(one.kind.load(relaxed)), static_cast<int>(one.place.load(relaxed)),
                 static_cast<int>(one.end.load(relaxed)), what);
  }

  bool look_at_pages() noexcept {
    if (!heap_.pages.is_consistent()) return fault("the bits of free pages and their summaries disagree");
    std::uint32_t end = heap_.pages.grown();
    for (std::uint32_t page = 0; page < end;) {
      page_entry entry = the_layout.entry(page);
      if (!entry.is_used()) {
        ++page;
        continue;
      }
      if (entry.first_page() != page) return fault("page %u names a span that does not reach to it", page);
      const span& one = the_layout.spans[page];
      if (look_at_span(one)) return true;
      page += one.page_count.load(relaxed);
    }
    return false;
  }

  bool look_at_span(const span& one) noexcept {
    std::uint32_t first = one.first_page();
    std::uint32_t count = one.page_count.load(relaxed);
    page_entry right(first, one.size_class.load(relaxed), one.kind.load(relaxed));
    if (count == 0 || (!one.is_large() && count != one.shape().pages)) return fault_of(one, "has a wrong length");
    for (std::uint32_t page = first; page < first + count; ++page) {
      if (the_layout.entry(page).bits() != right.bits()) return fault_of(one, "has a page whose entry says otherwise");
    }
    if (heap_.pages.has_free(first, count)) return fault_of(one, "has a page that is free as well");
    if (one.owner.load(relaxed) == nullptr) return fault_of(one, "belongs to nobody");
    if (one.place.load(relaxed) != span_place::listed) return fault_of(one, "is in no list");
    if (one.open.load(relaxed) != nullptr) return fault_of(one, "has an open run");
    if (heap_.is_stale(one)) return fault_of(one, "is not swept");
    if (one.free_index.load(relaxed) > one.slot_count()) return fault_of(one, "has handed out more than it has");
    if (one.free_index.load(relaxed) == 0 && objects_in(one) != one.live_at_sweep.load(relaxed)) {
      return fault_of(one, "has not as many objects as its last sweep has counted");
    }
    ++spans_;
    if (one.end.load(relaxed) == span_end::none) pages_ += count;
    return false;
  }

  // Free pages that Ps have kept for themselves.
  bool look_at_caches_of_pages() noexcept {
    for (std::size_t i = 0; i < heap_places; ++i) {
      const page_cache& one = heap_.places[i].cache;
      if ((one.released & ~one.free) != 0) return fault("P %zu has given back pages that it does not have", i);
      for (std::uint64_t left = one.free; left != 0; left &= left - 1) {
        std::uint32_t page = one.first + static_cast<std::uint32_t>(std::countr_zero(left));
        if (the_layout.entry(page).is_used()) return fault("page %u is in a span, and free for P %zu", page, i);
        if (heap_.pages.has_free(page, 1)) return fault("page %u is free for everybody, and for P %zu", page, i);
      }
    }
    return false;
  }

  struct account {
    std::uint64_t objects = 0;  // as the spans have them
    std::uint64_t allocated = 0;
    std::uint64_t freed = 0;
  };
  struct totals {
    account of[run_index_count + 1] = {};
    std::uint64_t bytes = 0;  // of the spans
    std::uint64_t charged = 0;
  };

  bool look_at_owners() noexcept RT_REQUIRES(heap_.owners_lock) {
    totals orphaned;
    for (heap_owner* owner = heap_.owners; owner != nullptr; owner = owner->next) {
      bool is_orphaned = owner == heap_.no_task || owner->has_ended;
      totals own;
      if (look_at_lists(*owner, is_orphaned ? orphaned : own)) return true;
      if (!is_orphaned && compare(*owner, own)) return true;
    }
    return compare(*heap_.no_task, orphaned);
  }

  bool look_at_lists(heap_owner& owner, totals& into) noexcept {
    for (std::size_t i = 0; i <= large_lists; ++i) {
      span_lists& lists = owner.lists(i);
      os::spin_guard guard(lists.lock);
      if (lists.swept_now != 0) return fault("%u spans are out to be swept", lists.swept_now);
      std::size_t now = heap_.parity();
      if ((lists.partial[now ^ 1] | lists.full[now ^ 1]) != 0) return fault("spans are in a list of unswept ones");
      if (look_at_list(owner, i, lists.partial[now], true, into)) return true;
      if (look_at_list(owner, i, lists.full[now], false, into)) return true;
      if (!owner.has_ended) into.of[i].allocated += owner.allocated_objects(i);
      into.of[i].freed += lists.freed.load(relaxed);
    }
    into.charged += owner.span_bytes();
    return false;
  }

  bool look_at_list(const heap_owner& owner, std::size_t index, std::uint32_t first, bool is_partial,
                    totals& into) noexcept {
    std::uint32_t before = 0;
    for (std::uint32_t at = first; at != 0;) {
      const span& one = the_layout.spans[at - 1];
      if (++listed_ > spans_) return fault("more spans are in lists than there are; one of them is a circle");
      if (!the_layout.entry(at - 1).is_used() || one.first_page() != the_layout.entry(at - 1).first_page()) {
        return fault("page %u is in a list, and begins no span", at - 1);
      }
      if (one.previous.load(relaxed) != before) return fault_of(one, "has another one before it than its list says");
      if (one.owner.load(relaxed) != &owner) return fault_of(one, "is in a list of somebody else");
      if (lists_of(one) != index) return fault_of(one, "is in a list of another class or kind");
      if (has_free_slots(one) != is_partial) {
        return fault_of(one, is_partial ? "is full, and listed as one with free slots" : "is listed as full");
      }
      if (one.end.load(relaxed) == span_end::none) {  // what has ended was counted as freed then
        into.of[index].objects += objects_in(one);
        into.bytes += one.bytes();
      }
      before = at;
      at = one.next.load(relaxed);
    }
    return false;
  }

  bool compare(const heap_owner& owner, const totals& sum) noexcept {
    const char* who = &owner == heap_.no_task ? "nobody" : "a task";
    for (std::size_t i = 0; i <= large_lists; ++i) {
      const account& one = sum.of[i];
      if (one.allocated - one.freed == one.objects) continue;
      return fault("%s has %llu objects of %zu bytes and kind %zu, and by its figures %llu: %llu allocated, %llu freed",
                   who, static_cast<unsigned long long>(one.objects),
                   i == large_lists ? 0 : size_of_class(i / span_kind_count), i % span_kind_count,
                   static_cast<unsigned long long>(one.allocated - one.freed),
                   static_cast<unsigned long long>(one.allocated), static_cast<unsigned long long>(one.freed));
    }
    if (sum.charged >= sum.bytes) return false;
    return fault("%s has spans of %llu bytes and is charged with %llu", who, static_cast<unsigned long long>(sum.bytes),
                 static_cast<unsigned long long>(sum.charged));
  }

  bool look_at_sums() noexcept {
    if (listed_ != spans_) return fault("there are %zu spans, and %zu are in lists", spans_, listed_);
    std::uint64_t spans = heap_.span_count.load(relaxed);
    std::uint64_t pages = heap_.span_pages.load(relaxed);
    if (spans == spans_ && pages == pages_) return false;
    return fault("there are %zu spans of %zu pages, and %llu of %llu were counted", spans_, pages_,
                 static_cast<unsigned long long>(spans), static_cast<unsigned long long>(pages));
  }

  heap_state& heap_;
  char* text_;
  std::size_t size_;
  std::size_t spans_ = 0;
  std::size_t pages_ = 0;  // without those of arenas that have ended
  std::size_t listed_ = 0;
};

}  // namespace

// The analysis does not see that the examination's heap is this one.
bool find_heap_fault(heap_state& heap, char* text, std::size_t size) noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
  return examination(heap, text, size).run();
}

}  // namespace rt::detail
