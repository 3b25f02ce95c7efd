#include "io/base/unexpected_exit.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "io/base/error.h"
#include "io/base/error_message.h"

namespace tessera {
namespace {

std::atomic<bool> expected = false;

/// Without the log: its locks may be held by threads that were interrupted.
void report() {
  if (expected) return;
  std::fprintf(
      stderr,
      "error: a library ended the program; its message is above. If it could not start a thread: %s\n",
      kThreadAdvice);
  ::_exit(kExitFailed);
}

}  // namespace

void report_unexpected_exits() {
  std::atexit(report);
}

void expect_exit() {
  expected = true;
}

}  // namespace tessera
