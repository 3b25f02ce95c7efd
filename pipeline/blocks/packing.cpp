#include "pipeline/blocks/packing.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "io/base/error_message.h"
#include "workers/blocks/block_exchange.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

enum PackTag : int {
  kTagStretch = 31,  ///< root -> worker: std::int64_t number of a stretch, or kNoMoreStretches
  kTagPacked = 32,   ///< worker -> root: the chunks of a stretch
  kTagProblem = 33,  ///< worker -> root: words, in place of a stretch's chunks
};
constexpr std::int64_t kNoMoreStretches = -1;
constexpr std::int64_t kStretchBytes = std::int64_t{4} << 20;

/// A chunk in a message: this, then its bytes.
struct ChunkFront {
  std::int64_t index = 0;
  std::uint32_t filter_mask = 0, size = 0;
};

/// Consecutive chunks, packed one by one.
class Stretches {
 public:
  Stretches(const std::filesystem::path& source, const OutputLayout& layout, int level)
      : reader_(source, layout),
        voxel_bytes_(size_of(layout.type)),
        level_(level),
        length_(std::max<std::int64_t>(1, kStretchBytes / layout.chunk_bytes())) {}

  std::int64_t count() const { return ceil_div(reader_.count(), length_); }
  std::int64_t chunks() const { return reader_.count(); }
  template <class Function>
  void pack(std::int64_t stretch, Function&& each) {
    const std::int64_t end = std::min(reader_.count(), (stretch + 1) * length_);
    for (std::int64_t i = stretch * length_; i < end; ++i)
      each(pack_chunk(i, reader_.read(i), voxel_bytes_, level_));
  }

 private:
  ChunkReader reader_;
  std::int64_t voxel_bytes_;
  int level_;
  std::int64_t length_;
};

void add_to(std::vector<std::byte>& message, const PackedChunk& chunk) {
  const ChunkFront front{chunk.index, chunk.filter_mask, static_cast<std::uint32_t>(chunk.bytes.size())};
  const auto bytes = std::as_bytes(std::span(&front, 1));
  message.insert(message.end(), bytes.begin(), bytes.end());
  message.insert(message.end(), chunk.bytes.begin(), chunk.bytes.end());
}

template <class Function>
void for_each_chunk(const std::vector<std::byte>& message, Function&& each) {
  for (std::size_t at = 0; at + sizeof(ChunkFront) <= message.size();) {
    ChunkFront front;
    std::memcpy(&front, message.data() + at, sizeof front);
    at += sizeof front;
    const auto begin = message.begin() + static_cast<std::ptrdiff_t>(at);
    at += front.size;
    each(PackedChunk{front.index, front.filter_mask, {begin, begin + front.size}});
  }
}

void work(Stretches& stretches, const Communicator& world) {
  PoliteWait idle;
  for (;;) {
    const auto message = world.try_receive(kTagStretch);
    if (!message) {
      idle.pause();
      continue;
    }
    idle.reset();
    const auto number = value_of<std::int64_t>(*message);
    if (number == kNoMoreStretches) return;
    try {
      std::vector<std::byte> packed;
      stretches.pack(number, [&](const PackedChunk& chunk) { add_to(packed, chunk); });
      world.send(0, kTagPacked, packed);
    } catch (const std::exception& error) {
      const std::string words = message_of(error);
      world.send(0, kTagProblem, std::as_bytes(std::span(words.data(), words.size())));
    }
  }
}

/// Returns what went wrong, "" for nothing.
template <class Function>
std::string serve(std::int64_t count, const Communicator& world, Function&& write) {
  std::string problem;
  std::int64_t next = 0, under_way = 0;
  const auto hand_to = [&](int worker) {
    if (next == count || !problem.empty()) return;
    send_value(world, worker, kTagStretch, next++);
    ++under_way;
  };
  for (int round = 0; round < 2; ++round) {
    for (int worker = 1; worker < world.size(); ++worker)
      hand_to(worker);
  }
  PoliteWait idle;
  while (under_way > 0) {
    const auto message = world.try_receive(MPI_ANY_TAG);
    if (!message) {
      idle.pause();
      continue;
    }
    idle.reset();
    --under_way;
    if (message->tag == kTagProblem) {
      problem.assign(reinterpret_cast<const char*>(message->bytes.data()), message->bytes.size());
    } else if (problem.empty()) {
      try {
        for_each_chunk(message->bytes, write);
      } catch (const std::exception& error) {
        problem = message_of(error);
      }
    }
    hand_to(message->source);
  }
  for (int worker = 1; worker < world.size(); ++worker)
    send_value(world, worker, kTagStretch, kNoMoreStretches);
  return problem;
}

}  // namespace

PackSums pack_chunks(const std::filesystem::path& source, const OutputLayout& layout, int level,
                     PackedVolume* target, const Communicator& world) {
  std::optional<Stretches> stretches;
  on_every_rank(world, [&] { stretches.emplace(source, layout, level); });
  PackSums sums;
  const auto write = [&](const PackedChunk& chunk) {
    target->write(chunk);
    sums.chunks += 1;
    sums.empty_chunks += chunk.bytes.empty() ? 1 : 0;
    sums.packed_bytes += static_cast<std::int64_t>(chunk.bytes.size());
  };
  std::string problem;
  if (!world.is_root()) {
    work(*stretches, world);
  } else if (world.size() > 1) {
    problem = serve(stretches->count(), world, write);
  }
  on_root(world, [&] {
    if (!problem.empty()) throw Error(problem);
    if (world.size() == 1) {
      for (std::int64_t i = 0; i < stretches->count(); ++i)
        stretches->pack(i, write);
    }
  });
  sums.bytes = stretches->chunks() * layout.chunk_bytes();
  return sums;
}

}  // namespace tessera
