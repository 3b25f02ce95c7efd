#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "workers/mpi/byte_exchange.h"
#include "workers/mpi/communicator.h"
#include "workers/mpi/message.h"
#include "workers/numbers/bit_mix.h"

namespace tessera {

/// The rank that owns a cluster.
inline int owner_of_name(std::uint64_t name, int ranks) {
  return static_cast<int>((mix_bits(name + 0x9E3779B97F4A7C15ULL) >> 33) % static_cast<std::uint64_t>(ranks));
}

/// Rows ordered by destination. `place[i]`: where row i of the caller is among them.
template <class Row>
struct GroupedRows {
  std::vector<Row> rows;
  std::vector<std::size_t> place;
  std::vector<std::int64_t> bytes;  ///< for each rank
};

/// Groups rows by `destination(row)`, in their order.
template <class Row, class Destination>
GroupedRows<Row> grouped_rows(std::span<const Row> rows, int ranks, const Destination& destination) {
  GroupedRows<Row> grouped;
  std::vector<std::size_t> begin(static_cast<std::size_t>(ranks) + 1);
  std::vector<int> to(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    to[i] = destination(rows[i]);
    ++begin[static_cast<std::size_t>(to[i]) + 1];
  }
  grouped.bytes.resize(static_cast<std::size_t>(ranks));
  for (std::size_t rank = 0; rank < grouped.bytes.size(); ++rank) {
    grouped.bytes[rank] = static_cast<std::int64_t>(begin[rank + 1] * sizeof(Row));
    begin[rank + 1] += begin[rank];
  }
  grouped.rows.resize(rows.size());
  grouped.place.resize(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    grouped.place[i] = begin[static_cast<std::size_t>(to[i])]++;
    grouped.rows[grouped.place[i]] = rows[i];
  }
  return grouped;
}

/// The values in bytes.
template <MessageValue Row>
std::vector<Row> rows_in(const std::vector<std::byte>& bytes) {
  std::vector<Row> rows(bytes.size() / sizeof(Row));
  if (!rows.empty()) std::memcpy(rows.data(), bytes.data(), bytes.size());
  return rows;
}

/// Collective: each row goes to the rank `destination(row)`. Returns the rows that came, in no order that the
/// caller may rely on.
template <MessageValue Row, class Destination>
std::vector<Row> sent_rows(const Communicator& world, std::vector<Row> rows, const Destination& destination) {
  if (world.size() == 1) return rows;
  GroupedRows<Row> grouped = grouped_rows(std::span<const Row>(rows), world.size(), destination);
  rows = {};
  return rows_in<Row>(exchange_bytes(world, std::as_bytes(std::span(grouped.rows)), grouped.bytes));
}

/// Collective: asks the rank `destination(name)` for `answer(name)`. Returns the answers in the order of
/// `names`, which may repeat.
template <MessageValue Value, class Destination, class Answer>
std::vector<Value> asked_rows(const Communicator& world, std::span<const std::uint64_t> names,
                              const Destination& destination, const Answer& answer) {
  std::vector<Value> values(names.size());
  if (world.size() == 1) {
    std::transform(names.begin(), names.end(), values.begin(), answer);
    return values;
  }
  GroupedRows<std::uint64_t> grouped = grouped_rows(names, world.size(), destination);
  std::vector<std::int64_t> counts = grouped.bytes;
  const auto questions =
      rows_in<std::uint64_t>(exchange_bytes(world, std::as_bytes(std::span(grouped.rows)), counts));
  std::vector<Value> answers(questions.size());
  std::transform(questions.begin(), questions.end(), answers.begin(), answer);
  for (std::int64_t& count : counts)
    count =
        count / static_cast<std::int64_t>(sizeof(std::uint64_t)) * static_cast<std::int64_t>(sizeof(Value));
  const auto replies = rows_in<Value>(exchange_bytes(world, std::as_bytes(std::span(answers)), counts));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = replies[grouped.place[i]];
  return values;
}

}  // namespace tessera
