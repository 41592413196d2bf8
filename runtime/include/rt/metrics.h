// Figures that a task exports: they appear on the daemon's /metrics page with the labels sandbox, plugin and task.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rt {

/// Label names and values of one series, e.g. {{"target", "https://example.org/"}}.
using metric_labels = std::vector<std::pair<std::string, std::string>>;

namespace detail {
struct metric_cell;
}

/// A figure that only grows. A handle; copies refer to the same series. Updates never block and may come from any
/// thread.
class counter {
 public:
  explicit counter(std::shared_ptr<detail::metric_cell> cell) noexcept : cell_(std::move(cell)) {}
  /// Adds `amount`, which must not be negative (a negative amount is ignored).
  void add(double amount = 1) const noexcept;
  double value() const noexcept;

 private:
  std::shared_ptr<detail::metric_cell> cell_;
};

/// A figure that goes up and down. As counter.
class gauge {
 public:
  explicit gauge(std::shared_ptr<detail::metric_cell> cell) noexcept : cell_(std::move(cell)) {}
  void set(double value) const noexcept;
  void add(double amount) const noexcept;
  double value() const noexcept;

 private:
  std::shared_ptr<detail::metric_cell> cell_;
};

/// A distribution in buckets. As counter.
class histogram {
 public:
  explicit histogram(std::shared_ptr<detail::metric_cell> cell) noexcept : cell_(std::move(cell)) {}
  void observe(double value) const noexcept;

 private:
  std::shared_ptr<detail::metric_cell> cell_;
};

}  // namespace rt
