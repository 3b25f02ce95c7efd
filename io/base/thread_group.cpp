#include "io/base/thread_group.h"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "io/base/error.h"
#include "io/base/error_message.h"

namespace tessera {

std::jthread start_thread(const char* purpose, std::function<void()> work) {
  try {
    return std::jthread(std::move(work));
  } catch (const std::system_error& error) {
    throw Error(
        fmt::format("cannot start a thread {}: {}. {}", purpose, error.code().message(), kThreadAdvice));
  }
}

void ThreadGroup::start(const char* purpose, std::function<void()> work) {
  try {
    threads_.reserve(threads_.size() + 1);  // a thread that was started is never lost
    threads_.push_back(start_thread(purpose, std::move(work)));
  } catch (...) {
    join();
    throw;
  }
}

void ThreadGroup::join() {
  close_();
  threads_.clear();
}

}  // namespace tessera
