// The live objects of the rows about marking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bench {

/// Objects of 64 bytes, of which 16 are two references: 64 MiB in all.
inline constexpr std::size_t graph_records = std::size_t{1} << 20;

/// A tree whose nodes lie in memory in random order, so that whoever marks it jumps about, as in a program that has run
/// for a while. Garbage collection has to be off meanwhile: only malloc's memory refers to the nodes.
template <class Record, class Make>
Record* make_graph(const Make& make) {
  std::vector<Record*> nodes(graph_records);
  for (Record*& one : nodes) one = make();
  std::uint64_t state = 0x9e3779b97f4a7c15;  // any but 0
  for (std::size_t i = graph_records - 1; i > 0; --i) {
    state ^= state << 13;  // xorshift64 by George Marsaglia
    state ^= state >> 7;
    state ^= state << 17;
    std::swap(nodes[i], nodes[state % (i + 1)]);
  }
  for (std::size_t i = 0; i < graph_records; ++i) {
    nodes[i]->words[0] = i;
    if (2 * i + 1 < graph_records) nodes[i]->left = nodes[2 * i + 1];
    if (2 * i + 2 < graph_records) nodes[i]->right = nodes[2 * i + 2];
  }
  return nodes[0];
}

/// The sum of what the nodes hold, 0 to graph_records - 1.
inline constexpr std::uint64_t graph_sum = std::uint64_t{graph_records} * (graph_records - 1) / 2;

template <class Record>
std::uint64_t sum_of_graph(const Record* top) {
  return top == nullptr ? 0 : top->words[0] + sum_of_graph<Record>(top->left) + sum_of_graph<Record>(top->right);
}

}  // namespace bench
