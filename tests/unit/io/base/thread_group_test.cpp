#include "io/base/thread_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <system_error>

#include "io/base/error_message.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/failing_threads.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// A door that threads wait at.
class Door {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
    ++passed;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  int passed = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST(ThreadGroup, ClosesBeforeItJoins) {
  Door door;
  {
    ThreadGroup group([&] { door.open(); });
    EXPECT_TRUE(group.empty());
    for (int i = 0; i < 3; ++i)
      group.start("to wait", [&] { door.wait(); });
    EXPECT_FALSE(group.empty());
  }
  EXPECT_EQ(door.passed, 3);
}

TEST(ThreadGroup, JoinsTheOthersWhenOneCannotStart) {
  for (const int nth : {1, 2, 3}) {
    Door door;
    const testing::FailingThread failing(nth);
    ThreadGroup group([&] { door.open(); });
    EXPECT_THAT(testing::message_of([&] {
                  for (int i = 0; i < 3; ++i)
                    group.start("to wait", [&] { door.wait(); });
                }),
                AllOf(HasSubstr("cannot start a thread to wait: Resource temporarily unavailable"),
                      HasSubstr("ulimit -u"), HasSubstr("fewer threads")));
    EXPECT_TRUE(failing.has_failed());
    EXPECT_TRUE(group.empty());
    EXPECT_EQ(door.passed, nth - 1) << "threads that were started";
  }
}

TEST(StartThread, SaysWhatToTry) {
  const testing::FailingThread failing(1);
  EXPECT_THAT(testing::message_of([] { start_thread("to read", [] {}); }),
              AllOf(HasSubstr("cannot start a thread to read: "), HasSubstr("ulimit -u")));
}

TEST(MessageOf, SaysWhatToTryWhenALibraryCannotStartAThread) {
  const std::system_error error(std::make_error_code(std::errc::resource_unavailable_try_again), "x");
  EXPECT_THAT(tessera::message_of(error),
              AllOf(HasSubstr("cannot start a thread: Resource temporarily"), HasSubstr("ulimit -u")));
  const std::system_error other(std::make_error_code(std::errc::invalid_argument), "x");
  EXPECT_THAT(tessera::message_of(other), ::testing::Not(HasSubstr("thread")));
}

}  // namespace
}  // namespace tessera
