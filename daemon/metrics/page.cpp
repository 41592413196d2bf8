#include "daemon/metrics/page.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "daemon/metrics/names.h"
#include "daemon/metrics/render.h"
#include "daemon/protocol/text.h"

namespace rtd::metrics {

namespace {

prometheus::MetricType type_named(std::string_view name) {
  if (name == "counter") return prometheus::MetricType::Counter;
  if (name == "gauge") return prometheus::MetricType::Gauge;
  if (name == "summary") return prometheus::MetricType::Summary;
  return prometheus::MetricType::Histogram;
}

std::string escape_help(std::string_view help) {
  std::string escaped;
  for (const char letter : help) {
    if (letter == '\\') {
      escaped += "\\\\";
    } else if (letter == '\n') {
      escaped += "\\n";
    } else {
      escaped += letter;
    }
  }
  return escaped;
}

// The serializer writes "Nan"; the format's word is "NaN". A sample's value ends its line, and a label's value cannot
// contain a line's end.
void spell_not_a_number(std::string& text) {
  constexpr std::string_view wrong = " Nan\n";
  for (std::size_t at = text.find(wrong); at != std::string::npos; at = text.find(wrong, at + wrong.size())) {
    const std::size_t line_end_before = text.rfind('\n', at);
    const std::size_t line = line_end_before == std::string::npos ? 0 : line_end_before + 1;
    if (text[line] != '#') text[at + 3] = 'N';
  }
}

}  // namespace

page::page() {
  const std::vector<family_description>& list = all_families();
  families_.reserve(list.size());
  for (const family_description& one : list) {
    places_.emplace(one.name, families_.size());
    families_.push_back({one.name, one.help, type_named(one.type), {}});
  }
}

prometheus::ClientMetric& page::add(std::string_view family, prometheus::MetricType type, const label_list& labels) {
  const auto place = places_.find(family);
  if (place == places_.end() || families_[place->second].type != type) {
    throw std::logic_error("no metric of this type is called " + std::string(family));
  }
  prometheus::ClientMetric& added = families_[place->second].metric.emplace_back();
  added.label.reserve(labels.size());
  for (const auto& [name, value] : labels) {
    added.label.push_back({name, protocol::clean_text(value, max_label_value_bytes)});
  }
  return added;
}

void page::counter(std::string_view family, const label_list& labels, double value) {
  add(family, prometheus::MetricType::Counter, labels).counter.value = value;
}

void page::counter(std::string_view family, const label_list& labels, std::uint64_t value) {
  counter(family, labels, static_cast<double>(value));
}

void page::gauge(std::string_view family, const label_list& labels, double value) {
  add(family, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void page::gauge(std::string_view family, const label_list& labels, std::uint64_t value) {
  gauge(family, labels, static_cast<double>(value));
}

void page::histogram(std::string_view family, const label_list& labels, const histogram_data& data) {
  add(family, prometheus::MetricType::Histogram, labels).histogram = to_prometheus(data);
}

void page::summary(std::string_view family, const label_list& labels,
                   const std::vector<std::pair<double, double>>& quantiles, double sum, std::uint64_t count) {
  prometheus::ClientMetric::Summary& made = add(family, prometheus::MetricType::Summary, labels).summary;
  for (const auto& [quantile, value] : quantiles) made.quantile.push_back({quantile, value});
  made.sample_sum = sum;
  made.sample_count = count;
}

std::string page::text() { return to_text(std::move(families_)); }

prometheus::ClientMetric::Histogram to_prometheus(const histogram_data& data) {
  prometheus::ClientMetric::Histogram result;
  result.sample_sum = data.sum;
  result.sample_count = data.count();
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < data.bounds.size() && i < data.counts.size(); ++i) {
    cumulative += data.counts[i];
    result.bucket.push_back({cumulative, data.bounds[i]});
  }
  return result;  // the serializer adds the bucket of +Inf
}

std::string to_text(std::vector<prometheus::MetricFamily> families) {
  std::erase_if(families, [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
  for (prometheus::MetricFamily& family : families) family.help = escape_help(family.help);
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  std::string text = std::move(out).str();
  spell_not_a_number(text);
  return text;
}

}  // namespace rtd::metrics
