#include "block_of_threads.h"

#include <ucontext.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace tessera::testing {

struct BlockOfThreads::State {
  struct Thread {
    ucontext_t context{};
    std::vector<char> stack;
    std::size_t met = 0;    ///< number of barriers
    std::size_t group = 0;  ///< threads of the awaited group; 0: the thread can run
    bool ended = false;
  };
  explicit State(std::size_t count) : threads(count) {}

  std::vector<Thread> threads;
  ucontext_t scheduler{};
  std::size_t current = 0;
  const std::function<void(std::size_t)>* work = nullptr;

  /// Entry point of a thread. makecontext passes only ints.
  static void begin(unsigned int high, unsigned int low) {
    auto& state = *reinterpret_cast<State*>((static_cast<std::uintptr_t>(high) << 32) | low);
    (*state.work)(state.current);
    state.threads[state.current].ended = true;
  }

  bool can_go_on(std::size_t i) const {
    const Thread& thread = threads[i];
    if (thread.ended) return false;
    if (thread.group == 0) return true;
    const std::size_t first = i / thread.group * thread.group;
    for (std::size_t k = first; k < first + thread.group; ++k) {
      if (threads[k].met < thread.met) return false;
    }
    return true;
  }
};

BlockOfThreads::BlockOfThreads(std::size_t threads) : state_(std::make_unique<State>(threads)) {}
BlockOfThreads::~BlockOfThreads() = default;

void BlockOfThreads::run(const std::function<void(std::size_t)>& thread, bool backwards) {
  constexpr std::size_t kStack = std::size_t{64} << 10;
  State& state = *state_;
  state.work = &thread;
  const auto address = reinterpret_cast<std::uintptr_t>(&state);
  for (State::Thread& one : state.threads) {
    one.stack.resize(kStack);
    one.met = one.group = 0;
    one.ended = false;
    getcontext(&one.context);
    one.context.uc_stack.ss_sp = one.stack.data();
    one.context.uc_stack.ss_size = kStack;
    one.context.uc_link = &state.scheduler;
    makecontext(&one.context, reinterpret_cast<void (*)()>(&State::begin), 2,
                static_cast<unsigned int>(address >> 32), static_cast<unsigned int>(address));
  }
  const std::size_t count = state.threads.size();
  std::size_t ended = 0;
  const auto go_on = [&](std::size_t i) {
    if (!state.can_go_on(i)) return false;
    state.current = i;
    state.threads[i].group = 0;
    swapcontext(&state.scheduler, &state.threads[i].context);
    ended += state.threads[i].ended ? 1 : 0;
    return true;
  };
  while (ended < count) {
    bool progress = false;
    for (std::size_t first = 0; first < count; first += kWarp) {
      for (bool again = true; again;) {
        again = false;
        for (std::size_t k = first; k < std::min(count, first + kWarp); ++k)
          again = go_on(backwards ? count - 1 - k : k) || again;
        progress = progress || again;
      }
    }
    if (!progress) throw std::logic_error("threads wait at a barrier that other threads never reach");
  }
}

void BlockOfThreads::meet(std::size_t group) {
  State& state = *state_;
  State::Thread& one = state.threads[state.current];
  ++one.met;
  one.group = group;
  swapcontext(&one.context, &state.scheduler);
}

}  // namespace tessera::testing
