#pragma once

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <cstdint>
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

/// Runs `work` and returns its result. Where memory runs out, on the host or on a device, throws OutOfMemory
/// with the message that `message()` makes. Recognised are std::bad_alloc and LibTorch's errors; other
/// libraries are to throw std::bad_alloc (onednn::checked).
template <class Message, class Work>
auto translated_out_of_memory(const Message& message, const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message());
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    // cuDNN says the same of a type that it does not support; smaller tiles then fail with it, too.
    if (says_no_engine(error) || says_out_of_memory(error))
      throw OutOfMemory(message() + ": " + what.substr(0, what.find('\n')));
    throw;
  }
}

/// Likewise for a forward or backward `pass` of a network over an input of so many pixels: the one message of
/// every engine.
template <class Pass>
auto named_out_of_memory(std::int64_t height, std::int64_t width, const Pass& pass) {
  return translated_out_of_memory(
      [&] { return fmt::format("memory ran out in a pass over an input of {} x {} pixels", height, width); },
      pass);
}

/// `input`: (n, channels, h, w).
template <class Tensor, class Pass>
auto named_out_of_memory(const Tensor& input, const Pass& pass) {
  return named_out_of_memory(input.size(2), input.size(3), pass);
}

}  // namespace tessera
