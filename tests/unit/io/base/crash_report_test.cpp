#include "io/base/crash_report.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <exception>

namespace tessera {
namespace {

TEST(CrashReport, NamesTheSignalAndThePlace) {
  const auto killed_by = [](int signal) { return ::testing::KilledBySignal(signal); };
  EXPECT_EXIT((report_crashes(), std::raise(SIGSEGV)), killed_by(SIGSEGV),
              "error: the process crashed in test_io: Segmentation fault");
  EXPECT_EXIT((report_crashes(), std::raise(SIGBUS)), killed_by(SIGBUS), "crashed in test_io: Bus error");
  EXPECT_EXIT((report_crashes(), std::terminate()), killed_by(SIGABRT), "crashed in test_io: Aborted");
}

}  // namespace
}  // namespace tessera
