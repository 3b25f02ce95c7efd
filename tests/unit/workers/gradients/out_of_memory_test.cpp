#include "workers/device/out_of_memory.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <new>
#include <string>

#include "gradient_cases.h"
#include "workers/network/tile_network.h"

namespace tessera {
namespace {

using testing::parameters_of;
using testing::small;

/// While it lives, the process can allocate only `spare` more bytes of address space.
class ScarceMemory {
 public:
  explicit ScarceMemory(std::int64_t spare) {
    std::int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &before_);
    rlimit scarce = before_;
    scarce.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + spare);
    is_set_ = pages > 0 && setrlimit(RLIMIT_AS, &scarce) == 0;
  }
  ScarceMemory(const ScarceMemory&) = delete;
  ScarceMemory& operator=(const ScarceMemory&) = delete;
  ~ScarceMemory() { setrlimit(RLIMIT_AS, &before_); }
  bool is_set() const { return is_set_; }

 private:
  rlimit before_{};
  bool is_set_ = false;
};

/// The message of the OutOfMemory that `pass` throws when memory is scarce; another error is passed on.
std::string message_without_memory(const std::function<void()>& pass) {
  // Less than one image of the network, 144 MB, but enough for oneDNN to generate code: it crashes without.
  const ScarceMemory scarce(std::int64_t{64} << 20);
  if (!scarce.is_set()) return "the address space cannot be limited";
  try {
    pass();
  } catch (const OutOfMemory& error) {
    return error.what();
  }
  return "no error";
}

// Training and prediction, oneDNN and LibTorch: one type of error and one message.
TEST(OutOfMemory, IsTheSameErrorInEveryEngine) {
  constexpr std::int64_t kSide = 1500;
  const UNetOptions options = small([](auto& o) {
    o.base_filters = 16;
    o.padding = Padding::same;
  });
  const at::Tensor input = at::zeros({1, 1, kSide, kSide}), warm_up = at::zeros({1, 1, 64, 64});
  FlatParameters parameters = parameters_of(options);
  int checked = 0;
  const auto expect_out_of_memory = [&](const std::string& engine,
                                        const std::function<void(at::Tensor)>& pass) {
    pass(warm_up);  // starts threads and loads kernels
    EXPECT_THAT(message_without_memory([&] { pass(input); }),
                ::testing::StartsWith("memory ran out in a pass over an input of 1500 x 1500 pixels"))
        << engine;
    pass(warm_up);  // and the engine remains usable
    ++checked;
  };
  for (const auto& engine : {make_gradient_engine(parameters, Precision::float32),
                             make_autograd_engine(parameters, Precision::float32)}) {
    expect_out_of_memory("training, " + engine->text(), [&](const at::Tensor& x) { engine->forward(x, 1); });
  }
  const auto network = make_network(options, 3);
  for (const auto& engine : {make_tile_network(*network, Precision::float32, Device()),
                             make_libtorch_network(*network, Precision::float32, Device())}) {
    expect_out_of_memory("prediction, " + engine->text(), [&](const at::Tensor& x) { engine->logits(x); });
  }
  EXPECT_EQ(checked, 4);
}

TEST(OutOfMemory, TranslatesBadAlloc) {
  const auto message = [] { return std::string("a block"); };
  EXPECT_THROW(translated_out_of_memory(message, []() -> int { throw std::bad_alloc(); }), OutOfMemory);
  EXPECT_EQ(translated_out_of_memory(message, [] { return 7; }), 7);
}

}  // namespace
}  // namespace tessera
