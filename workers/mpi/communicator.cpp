#include "workers/mpi/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <thread>
#include <utility>

#include "io/base/error.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

/// MPI counts are int: longer arrays are sent in parts.
constexpr std::size_t kPartElements = std::size_t{1} << 28;

template <class T, class Function>
void in_parts(std::span<T> values, Function&& function) {
  for (std::size_t at = 0; at < values.size(); at += kPartElements) {
    function(values.subspan(at, std::min(kPartElements, values.size() - at)));
  }
}

/// The part of a text that round `round` of a gathering sends, of at most `most` bytes.
std::span<const char> part_of_round(const std::string& text, std::size_t round, std::size_t most) {
  const std::size_t begin = std::min(text.size(), round * most);
  return std::span(text).subspan(begin, std::min(most, text.size() - begin));
}

/// Begins an operation; `begin` gets its request.
template <class Begin>
MPI_Request begun(const char* what, const Begin& begin) {
  MPI_Request request{};
  call_mpi(what, [&] { return begin(&request); });
  return request;
}

constexpr const char *kDuplicate = "duplicate a communicator", *kSplit = "split a communicator",
                     *kFindNode = "find the ranks of a node", *kMeet = "meet at a barrier",
                     *kBroadcast = "broadcast", *kGather = "gather texts", *kSend = "send",
                     *kReceive = "receive";

}  // namespace

void check_mpi(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw Error(fmt::format("MPI failed to {}: {} (did another rank die?)", what, text.data()));
}

void PoliteWait::pause() {
  ++rounds_;
  if (rounds_ <= 50) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(std::min(20 * (rounds_ - 50), longest_us_)));
  }
}

Communicator Communicator::owning(MPI_Comm comm) {
  Communicator group;
  group.comm_ = comm;
  const std::unique_lock lock = lock_mpi();
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm, &group.rank_);
  MPI_Comm_size(comm, &group.size_);
  return group;
}

Communicator::Communicator(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  const MpiWait waiting(kDuplicate);
  wait(begun(kDuplicate, [&](MPI_Request* request) { return MPI_Comm_idup(comm, &copy, request); }));
  *this = owning(copy);
}

Communicator::Communicator(Communicator&& other) noexcept
    : comm_(std::exchange(other.comm_, MPI_COMM_NULL)), rank_(other.rank_), size_(other.size_) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  std::swap(comm_, other.comm_);
  rank_ = other.rank_;
  size_ = other.size_;
  return *this;
}

Communicator::~Communicator() {
  // MPI_Comm_free is collective; freeing here could hang a job that unwinds on one rank alone. Finalize
  // frees.
}

Communicator Communicator::split(int group) const {
  if (comm_ == MPI_COMM_NULL) return alone();
  MPI_Comm part = MPI_COMM_NULL;
  barrier();  // the ranks may come late; the call that follows is then short
  {
    const BlockingMpiCall call(kSplit);
    check_mpi(MPI_Comm_split(comm_, group, rank_, &part), kSplit);
  }
  return owning(part);
}

Communicator Communicator::node() const {
  if (comm_ == MPI_COMM_NULL) return alone();
  MPI_Comm node = MPI_COMM_NULL;
  barrier();  // as in split()
  {
    const BlockingMpiCall call(kFindNode);
    check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node), kFindNode);
  }
  return owning(node);
}

void Communicator::wait(MPI_Request request) const {
  PoliteWait waiting;
  for (int done = 0;;) {
    call_mpi("communicate", [&] { return MPI_Test(&request, &done, MPI_STATUS_IGNORE); });
    if (done != 0) return;
    waiting.pause();
  }
}

void Communicator::barrier() const {
  if (comm_ == MPI_COMM_NULL) return;
  const MpiWait waiting(kMeet);
  wait(begun(kMeet, [&](MPI_Request* request) { return MPI_Ibarrier(comm_, request); }));
}

void Communicator::broadcast(std::span<std::byte> bytes, int root) const {
  if (comm_ == MPI_COMM_NULL) return;
  const MpiWait waiting(kBroadcast);
  in_parts(bytes, [&](std::span<std::byte> part) {
    wait(begun(kBroadcast, [&](MPI_Request* request) {
      return MPI_Ibcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, root, comm_, request);
    }));
  });
}

void Communicator::broadcast(std::string& text, int root) const {
  std::uint64_t size = text.size();
  broadcast(std::as_writable_bytes(std::span(&size, 1)), root);
  text.resize(size);
  broadcast(std::as_writable_bytes(std::span(text.data(), text.size())), root);
}

void Communicator::broadcast(std::vector<std::byte>& bytes, int root) const {
  std::uint64_t size = bytes.size();
  broadcast(std::as_writable_bytes(std::span(&size, 1)), root);
  bytes.resize(size);
  broadcast(std::span(bytes), root);
}

template <class T>
void Communicator::reduce(std::span<T> values, MPI_Datatype type, MPI_Op operation, const char* what) const {
  if (comm_ == MPI_COMM_NULL) return;
  const MpiWait waiting(what);
  in_parts(values, [&](std::span<T> part) {
    wait(begun(what, [&](MPI_Request* request) {
      return MPI_Iallreduce(MPI_IN_PLACE, part.data(), static_cast<int>(part.size()), type, operation, comm_,
                            request);
    }));
  });
}

void Communicator::sum(std::span<double> values) const {
  reduce(values, MPI_DOUBLE, MPI_SUM, "sum over the ranks");
}
void Communicator::sum(std::span<std::int64_t> values) const {
  reduce(values, MPI_INT64_T, MPI_SUM, "sum over the ranks");
}
void Communicator::sum(std::span<float> values) const {
  reduce(values, MPI_FLOAT, MPI_SUM, "sum over the ranks");
}

std::int64_t Communicator::minimum(std::int64_t value) const {
  reduce(std::span(&value, 1), MPI_INT64_T, MPI_MIN, "find the minimum over the ranks");
  return value;
}

void Communicator::maximum(std::span<double> values) const {
  reduce(values, MPI_DOUBLE, MPI_MAX, "find the maxima over the ranks");
}

bool Communicator::any(bool flag) const {
  std::int64_t count = flag ? 1 : 0;
  sum(std::span(&count, 1));
  return count > 0;
}

std::vector<std::string> Communicator::all_gather(const std::string& text) const {
  if (comm_ == MPI_COMM_NULL) return {text};
  const auto ranks = static_cast<std::size_t>(size_);
  std::vector<std::uint64_t> sizes(ranks);
  const std::uint64_t size = text.size();
  const MpiWait waiting(kGather);
  wait(begun(kGather, [&](MPI_Request* request) {
    return MPI_Iallgather(&size, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, comm_, request);
  }));
  std::vector<std::string> texts(ranks);
  std::uint64_t total = 0, longest = 0;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    texts[rank].reserve(sizes[rank]);
    total += sizes[rank];
    longest = std::max(longest, sizes[rank]);
  }
  // MPI's offsets are int: longer texts are gathered in rounds.
  const std::size_t most = total <= kGatherBytes ? longest : std::max<std::size_t>(1, kGatherBytes / ranks);
  std::vector<int> counts(ranks), offsets(ranks);
  std::vector<char> gathered;
  for (std::size_t round = 0; round * most < longest; ++round) {
    std::size_t end = 0;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      offsets[rank] = static_cast<int>(end);
      counts[rank] = static_cast<int>(std::min<std::size_t>(most, sizes[rank] - texts[rank].size()));
      end += static_cast<std::size_t>(counts[rank]);
    }
    gathered.resize(end);
    const std::span<const char> mine = part_of_round(text, round, most);
    wait(begun(kGather, [&](MPI_Request* request) {
      return MPI_Iallgatherv(mine.data(), static_cast<int>(mine.size()), MPI_CHAR, gathered.data(),
                             counts.data(), offsets.data(), MPI_CHAR, comm_, request);
    }));
    for (std::size_t rank = 0; rank < ranks; ++rank)
      texts[rank].append(gathered.data() + offsets[rank], static_cast<std::size_t>(counts[rank]));
  }
  return texts;
}

void Communicator::send(int destination, int tag, std::span<const std::byte> bytes) const {
  if (bytes.size() > INT_MAX) throw Error("a message of more than 2 GiB cannot be sent");
  const MpiWait waiting(kSend);
  wait(begun(kSend, [&](MPI_Request* request) {
    return MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, destination, tag, comm_,
                     request);
  }));
}

std::optional<Message> Communicator::try_receive(int tag) const {
  if (comm_ == MPI_COMM_NULL) return std::nullopt;
  int there = 0, count = 0;
  MPI_Status status{};
  call_mpi("look for a message", [&] {
    const int looked = MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_, &there, &status);
    if (looked == MPI_SUCCESS && there != 0) MPI_Get_count(&status, MPI_BYTE, &count);
    return looked;
  });
  if (there == 0) return std::nullopt;
  Message message{status.MPI_SOURCE, status.MPI_TAG, std::vector<std::byte>(static_cast<std::size_t>(count))};
  const MpiWait waiting(kReceive);  // for the rest of a long message
  wait(begun(kReceive, [&](MPI_Request* request) {
    return MPI_Irecv(message.bytes.data(), count, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, comm_,
                     request);
  }));
  return message;
}

}  // namespace tessera
