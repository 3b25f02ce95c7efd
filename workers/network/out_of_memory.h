#pragma once

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <new>
#include <string>

#include "io/error.h"

namespace tessera {

/// Runs `forward` on `input` (1, channels, h, w) and turns LibTorch's ways to say that memory ran out, on the
/// host or on a device, into OutOfMemory.
template <class Tensor, class Forward>
auto named_out_of_memory(const Tensor& input, const Forward& forward) {
  const auto words = [&] {
    return fmt::format("memory ran out in the forward pass of an input of {} x {} pixels", input.size(2),
                       input.size(3));
  };
  try {
    return forward();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(words());
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    for (const char* sign : {"out of memory", "can't allocate memory", "not enough memory"}) {
      if (what.find(sign) != std::string::npos) throw OutOfMemory(words());
    }
    throw;
  }
}

}  // namespace tessera
