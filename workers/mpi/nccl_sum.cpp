#include "workers/mpi/nccl_sum.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <span>

#include "io/base/error.h"

namespace tessera {

/// The part of NCCL 2's documented C interface that is used; it has not changed since 2.0.
struct NcclSum::Library {
  struct UniqueId {
    std::array<char, 128> bytes;
  };
  using Comm = void*;
  static constexpr int kSuccess = 0, kFloat32 = 7, kFloat64 = 8, kSum = 0;

  int (*get_unique_id)(UniqueId*) = nullptr;
  int (*comm_init_rank)(Comm*, int ranks, UniqueId, int rank) = nullptr;
  int (*all_reduce)(const void*, void*, std::size_t, int type, int operation, Comm, void* stream) = nullptr;
  const char* (*error_string)(int) = nullptr;
  Comm comm = nullptr;

  /// Whether all functions were found; else `reason` is set.
  bool load(const std::string& name, std::string& reason) {
    // LibTorch may have loaded it from a folder outside the library path.
    void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (handle == nullptr) handle = dlopen(name.c_str(), RTLD_NOW);
    if (handle == nullptr) {
      reason = dlerror();
      return false;
    }
    const auto find = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, symbol));
      if (function == nullptr) reason = fmt::format("{} has no {}", name, symbol);
      return function != nullptr;
    };
    return find(get_unique_id, "ncclGetUniqueId") && find(comm_init_rank, "ncclCommInitRank") &&
           find(all_reduce, "ncclAllReduce") && find(error_string, "ncclGetErrorString");
  }

  void check(int status, const char* what) const {
    if (status == kSuccess) return;
    throw Error(
        fmt::format("NCCL failed to {}: {} (NCCL_DEBUG=INFO logs details; train.nccl: false avoids NCCL)",
                    what, error_string(status)));
  }
};

NcclSum::NcclSum() : library_(std::make_unique<Library>()) {}
NcclSum::~NcclSum() = default;

std::unique_ptr<NcclSum> NcclSum::create(const Communicator& workers, const std::string& library,
                                         std::string& reason) {
  std::unique_ptr<NcclSum> made(new NcclSum());
  Library& nccl = *made->library_;
  const bool missing = !nccl.load(library, reason);
  if (workers.any(missing)) {
    if (!missing) reason = "another worker lacks it";
    return nullptr;
  }
  Library::UniqueId id{};
  int status = Library::kSuccess;
  if (workers.is_root()) status = nccl.get_unique_id(&id);
  workers.broadcast(std::as_writable_bytes(std::span(&status, 1)));
  nccl.check(status, "create an id for the workers");
  workers.broadcast(std::as_writable_bytes(std::span(id.bytes)));
  status = nccl.comm_init_rank(&nccl.comm, workers.size(), id, workers.rank());
  nccl.check(status, "connect the workers");
  return made;
}

void NcclSum::sum(void* values, std::size_t count, int type, void* stream) const {
  const Library& nccl = *library_;
  nccl.check(nccl.all_reduce(values, values, count, type, Library::kSum, nccl.comm, stream),
             "sum the gradients over the workers");
}

void NcclSum::sum(float* values, std::size_t count, void* stream) const {
  sum(values, count, Library::kFloat32, stream);
}

void NcclSum::sum(double* values, std::size_t count, void* stream) const {
  sum(values, count, Library::kFloat64, stream);
}

}  // namespace tessera
