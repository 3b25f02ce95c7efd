#pragma once

#include <exception>
#include <functional>

namespace tessera {

/// Called between the layers of a pass on the CPU, by the thread that runs the pass. It may throw
/// PassInterrupted: the pass then ends there without a result, and the network can be used again.
using BetweenLayers = std::function<void()>;

/// A pass was left because nobody needs its result any more.
class PassInterrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "the pass was interrupted"; }
};

}  // namespace tessera
