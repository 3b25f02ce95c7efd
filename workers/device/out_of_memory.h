#pragma once

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <new>
#include <string>

#include "io/base/error.h"

namespace tessera {

/// Whether an error of LibTorch says that memory ran out.
inline bool says_out_of_memory(const c10::Error& error) {
  const std::string what = error.what_without_backtrace();
  for (const char* sign :
       {"out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED"}) {
    if (what.find(sign) != std::string::npos) return true;
  }
  return false;
}

/// Whether cuDNN found no kernel: memory ran out, or the type or shape is not supported.
inline bool says_no_engine(const c10::Error& error) {
  return std::string(error.what_without_backtrace()).find("unable to find an engine to execute") !=
         std::string::npos;
}

/// Runs `work`. If memory runs out on the host or on a device, throws OutOfMemory with the message that
/// `message` returns.
template <class MakeMessage, class Work>
auto translated_out_of_memory(const MakeMessage& message, const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message());
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    // cuDNN has the same message for a type that it does not support. Smaller tiles then fail with it, too.
    if (says_no_engine(error) || says_out_of_memory(error))
      throw OutOfMemory(message() + ": " + what.substr(0, what.find('\n')));
    throw;
  }
}

/// The same for a `forward` pass on `input` (n, channels, h, w).
template <class Tensor, class Forward>
auto named_out_of_memory(const Tensor& input, const Forward& forward) {
  return translated_out_of_memory(
      [&] {
        return fmt::format("memory ran out in the forward pass of an input of {} x {} pixels", input.size(2),
                           input.size(3));
      },
      forward);
}

}  // namespace tessera
