#include "workers/mpi/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <thread>
#include <utility>

#include "io/base/error.h"

namespace tessera {
namespace {

/// MPI counts are int: longer arrays travel in pieces.
constexpr std::size_t kPieceElements = std::size_t{1} << 28;

template <class T, class Function>
void in_pieces(std::span<T> values, Function&& function) {
  for (std::size_t at = 0; at < values.size(); at += kPieceElements) {
    function(values.subspan(at, std::min(kPieceElements, values.size() - at)));
  }
}

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

Communicator::Communicator(MPI_Comm comm) {
  check_mpi(MPI_Comm_dup(comm, &comm_), "duplicate a communicator");
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
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
  check_mpi(MPI_Comm_split(comm_, group, rank_, &part), "split a communicator");
  return Communicator(part);
}

Communicator::LocalRank Communicator::local_rank() const {
  if (comm_ == MPI_COMM_NULL) return {};
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node),
            "find the ranks of a node");
  LocalRank found;
  MPI_Comm_rank(node, &found.rank);
  MPI_Comm_size(node, &found.size);
  MPI_Comm_free(&node);
  return found;
}

void Communicator::wait(MPI_Request request) const {
  PoliteWait waiting;
  for (int done = 0;;) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "communicate");
    if (done != 0) return;
    waiting.pause();
  }
}

void Communicator::barrier() const {
  if (comm_ == MPI_COMM_NULL) return;
  MPI_Request request{};
  check_mpi(MPI_Ibarrier(comm_, &request), "meet at a barrier");
  wait(request);
}

void Communicator::broadcast(std::span<std::byte> bytes, int root) const {
  if (comm_ == MPI_COMM_NULL) return;
  in_pieces(bytes, [&](std::span<std::byte> piece) {
    MPI_Request request{};
    check_mpi(MPI_Ibcast(piece.data(), static_cast<int>(piece.size()), MPI_BYTE, root, comm_, &request),
              "broadcast");
    wait(request);
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

namespace {

template <class T, class Wait>
void sum_in_place(std::span<T> values, MPI_Datatype type, MPI_Comm comm, Wait&& wait) {
  if (comm == MPI_COMM_NULL) return;
  in_pieces(values, [&](std::span<T> piece) {
    MPI_Request request{};
    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, piece.data(), static_cast<int>(piece.size()), type, MPI_SUM, comm,
                             &request),
              "sum over the ranks");
    wait(request);
  });
}

}  // namespace

void Communicator::sum(std::span<double> values) const {
  sum_in_place(values, MPI_DOUBLE, comm_, [this](MPI_Request request) { wait(request); });
}
void Communicator::sum(std::span<std::int64_t> values) const {
  sum_in_place(values, MPI_INT64_T, comm_, [this](MPI_Request request) { wait(request); });
}
void Communicator::sum(std::span<float> values) const {
  sum_in_place(values, MPI_FLOAT, comm_, [this](MPI_Request request) { wait(request); });
}

bool Communicator::any(bool flag) const {
  std::int64_t count = flag ? 1 : 0;
  sum(std::span(&count, 1));
  return count > 0;
}

std::vector<std::string> Communicator::all_gather(const std::string& text) const {
  std::vector<std::string> texts(static_cast<std::size_t>(size_));
  texts[static_cast<std::size_t>(rank_)] = text;
  for (int root = 0; root < size_; ++root)
    broadcast(texts[static_cast<std::size_t>(root)], root);
  return texts;
}

void Communicator::send(int destination, int tag, std::span<const std::byte> bytes) const {
  if (bytes.size() > INT_MAX) throw Error("a message of over 2 GiB: voxels do not travel by message");
  MPI_Request request{};
  check_mpi(
      MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, destination, tag, comm_, &request),
      "send");
  wait(request);
}

std::optional<Message> Communicator::try_receive(int tag) const {
  if (comm_ == MPI_COMM_NULL) return std::nullopt;
  int there = 0;
  MPI_Status status{};
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_, &there, &status), "look for a message");
  if (there == 0) return std::nullopt;
  int count = 0;
  MPI_Get_count(&status, MPI_BYTE, &count);
  Message message{status.MPI_SOURCE, status.MPI_TAG, std::vector<std::byte>(static_cast<std::size_t>(count))};
  check_mpi(MPI_Recv(message.bytes.data(), count, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, comm_,
                     MPI_STATUS_IGNORE),
            "receive");
  return message;
}

}  // namespace tessera
