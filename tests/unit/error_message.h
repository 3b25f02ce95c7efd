#pragma once

#include <functional>
#include <string>

#include "io/base/error.h"

namespace tessera::testing {

/// The message of the Error that `step` throws, "no error" when it throws none.
inline std::string message_of(const std::function<void()>& step) {
  try {
    step();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace tessera::testing
