#include "workers/mpi/byte_exchange.h"

#include <algorithm>
#include <utility>

#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

constexpr const char* kExchange = "exchange rows";

/// What the ranks tell each other before an exchange.
struct ExchangeHead {
  std::int64_t bytes = 0;    ///< for the receiver
  std::int64_t largest = 0;  ///< the most bytes that the sender has for any rank
};

/// The parts of all pairs that one slice of an exchange sends or receives, packed one behind the other.
struct ExchangeSlice {
  std::vector<int> counts, offsets;
  std::size_t bytes = 0;

  /// `part`: the most bytes of a pair in a slice.
  ExchangeSlice(const std::vector<std::int64_t>& all, std::int64_t round, std::int64_t part)
      : counts(all.size()), offsets(all.size()) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      counts[i] = static_cast<int>(std::clamp<std::int64_t>(all[i] - round * part, 0, part));
      offsets[i] = static_cast<int>(bytes);
      bytes += static_cast<std::size_t>(counts[i]);
    }
  }
};

/// Begins an operation and polls until it is done.
template <class Begin>
void finish_exchange(const Begin& begin) {
  MPI_Request request{};
  call_mpi(kExchange, [&] { return begin(&request); });
  PoliteWait waiting;
  for (int done = 0;;) {
    call_mpi(kExchange, [&] { return MPI_Test(&request, &done, MPI_STATUS_IGNORE); });
    if (done != 0) return;
    waiting.pause();
  }
}

/// The beginnings of the pairs' parts.
std::vector<std::int64_t> begins_of(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> begins(counts.size());
  for (std::size_t i = 1; i < counts.size(); ++i)
    begins[i] = begins[i - 1] + counts[i - 1];
  return begins;
}

}  // namespace

std::vector<std::byte> exchange_bytes(const Communicator& world, std::span<const std::byte> bytes,
                                      std::vector<std::int64_t>& counts, std::int64_t slice) {
  if (world.handle() == MPI_COMM_NULL) return {bytes.begin(), bytes.end()};
  const auto ranks = static_cast<std::size_t>(world.size());
  std::vector<ExchangeHead> mine(ranks), theirs(ranks);
  const std::int64_t most = *std::max_element(counts.begin(), counts.end());
  for (std::size_t i = 0; i < ranks; ++i)
    mine[i] = {counts[i], most};
  const MpiWait waiting(kExchange);
  finish_exchange([&](MPI_Request* request) {
    return MPI_Ialltoall(mine.data(), sizeof(ExchangeHead), MPI_BYTE, theirs.data(), sizeof(ExchangeHead),
                         MPI_BYTE, world.handle(), request);
  });
  std::vector<std::int64_t> received(ranks);
  std::int64_t largest = 0;
  for (std::size_t i = 0; i < ranks; ++i) {
    received[i] = theirs[i].bytes;
    largest = std::max(largest, theirs[i].largest);
  }
  const std::vector<std::int64_t> from = begins_of(counts), to = begins_of(received);
  std::vector<std::byte> result(static_cast<std::size_t>(to.back() + received.back()));
  const std::int64_t part = std::max<std::int64_t>(1, slice / world.size());
  std::vector<std::byte> out, in;
  for (std::int64_t round = 0; round * part < largest; ++round) {
    const ExchangeSlice sent(counts, round, part), got(received, round, part);
    out.resize(sent.bytes);
    in.resize(got.bytes);
    for (std::size_t i = 0; i < ranks; ++i)
      std::copy_n(bytes.data() + from[i] + (sent.counts[i] > 0 ? round * part : 0), sent.counts[i],
                  out.data() + sent.offsets[i]);
    finish_exchange([&](MPI_Request* request) {
      return MPI_Ialltoallv(out.data(), sent.counts.data(), sent.offsets.data(), MPI_BYTE, in.data(),
                            got.counts.data(), got.offsets.data(), MPI_BYTE, world.handle(), request);
    });
    for (std::size_t i = 0; i < ranks; ++i)
      std::copy_n(in.data() + got.offsets[i], got.counts[i],
                  result.data() + to[i] + (got.counts[i] > 0 ? round * part : 0));
  }
  counts = std::move(received);
  return result;
}

}  // namespace tessera
