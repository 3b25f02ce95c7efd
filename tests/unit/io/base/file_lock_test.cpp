#include "io/base/file_lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "io/base/process_id.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/base/child_process.h"
#include "tests/unit/temporary_folder.h"

namespace {
std::atomic<int> flock_fails_with = 0;
}

/// Instead of the C library's, for the whole test program: the locks of a file system without them.
extern "C" int flock(int fd, int operation) noexcept {
  if (const int reason = flock_fails_with; reason != 0) {
    errno = reason;
    return -1;
  }
  return static_cast<int>(syscall(SYS_flock, fd, operation));
}

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
namespace fs = std::filesystem;

/// A process that holds the lock until it is killed or released.
class Holder {
 public:
  explicit Holder(const fs::path& target) {
    std::array<int, 2> to{}, from{};
    if (pipe(to.data()) != 0 || pipe(from.data()) != 0) throw Error("no pipe");
    child_ = fork();
    if (child_ == 0) {
      close(to[1]);
      char word = 'n';
      try {
        const FileLock lock(target);
        word = 'y';
        if (write(from[1], &word, 1) != 1) _exit(1);
        if (read(to[0], &word, 1) < 0) _exit(1);  // until the parent closes its end
      } catch (const Error&) {
        if (write(from[1], &word, 1) != 1) _exit(1);
      }
      _exit(0);
    }
    close(to[0]);
    close(from[1]);
    release_ = to[1];
    char word = 0;
    has_it_ = read(from[0], &word, 1) == 1 && word == 'y';
    close(from[0]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { release(); }

  bool has_it() const { return has_it_; }
  pid_t pid() const { return child_; }
  void release() { end(0); }
  void die() { end(SIGKILL); }

 private:
  void end(int signal) {
    if (child_ <= 0) return;
    if (signal != 0) kill(child_, signal);
    close(release_);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }

  pid_t child_ = 0;
  int release_ = -1;
  bool has_it_ = false;
};

/// With flock(), and without it.
class FileLocks : public ::testing::TestWithParam<int> {
 protected:
  FileLocks() { flock_fails_with = GetParam(); }
  ~FileLocks() override { flock_fails_with = 0; }

  const testing::TemporaryFolder folder;
  const fs::path target = folder / "a.h5";
};
INSTANTIATE_TEST_SUITE_P(OfFileSystems, FileLocks, ::testing::Values(0, ENOLCK, EOPNOTSUPP));

TEST_P(FileLocks, OneProcessHasIt) {
  Holder other(target);
  ASSERT_TRUE(other.has_it());
  const std::string message = message_of([&] { FileLock lock(target); });
  EXPECT_THAT(message, AllOf(HasSubstr("a.h5 is in use by tessera on " + this_process().host),
                             HasSubstr("process " + std::to_string(other.pid())), HasSubstr("since 20")));
  EXPECT_THAT(message, ::testing::Not(HasSubstr("remove"))) << "it runs";
  other.release();
  EXPECT_EQ(message_of([&] { FileLock lock(target); }), "no error");
  EXPECT_TRUE(fs::is_empty(folder.path())) << "the lock file is left";
}

TEST_P(FileLocks, OneOwnerWithinAProcess) {
  FileLock first(target);
  EXPECT_THAT(message_of([&] { FileLock second(target); }), HasSubstr("in use"));
  FileLock moved = std::move(first);
  first = FileLock();
  EXPECT_THAT(message_of([&] { FileLock second(target); }), HasSubstr("in use"));
  moved = FileLock();
  EXPECT_EQ(message_of([&] { FileLock second(target); }), "no error");
}

TEST_P(FileLocks, AKillReleasesIt) {
  Holder other(target);
  ASSERT_TRUE(other.has_it());
  other.die();
  EXPECT_EQ(folder.entries(), 1) << "the lock file of the killed process";
  {
    const FileLock lock(target);
    EXPECT_FALSE(Holder(target).has_it());
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST_P(FileLocks, ALinkAndItsTargetHaveOneLock) {
  fs::create_directory(folder / "scratch");
  fs::create_symlink("scratch/real.h5", target);
  const FileLock lock(target);
  EXPECT_THAT(message_of([&] { FileLock second(folder / "scratch" / "real.h5"); }), HasSubstr("in use"));
  const FileLock folder_lock(folder / "out/");
  EXPECT_THAT(message_of([&] { FileLock second(folder / "out"); }), HasSubstr("in use"));
}

TEST_P(FileLocks, AFolderThatWasMadeForItIsRemovedWhenEmpty) {
  {
    const FileLock lock(folder / "made" / "a");
    const FileLock other(folder / "used" / "a");
    std::ofstream(folder / "used" / "a") << "x";
  }
  EXPECT_FALSE(fs::exists(folder / "made"));
  EXPECT_TRUE(fs::exists(folder / "used" / "a"));
}

TEST_P(FileLocks, ManyProcessesTakeTurns) {
  constexpr int kProcesses = 4, kTurns = 25;
  std::ofstream(folder / "count") << 0;
  std::array<pid_t, kProcesses> children{};
  for (pid_t& child : children) {
    child = fork();
    if (child != 0) continue;
    for (int turns = 0; turns < kTurns;) {
      try {
        const FileLock lock(target);
        int count = 0;
        std::ifstream(folder / "count") >> count;
        std::this_thread::yield();
        std::ofstream(folder / "count") << count + 1;
        ++turns;
      } catch (const UsageError&) {
        usleep(200);
      }
    }
    _exit(0);
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  int count = 0;
  std::ifstream(folder / "count") >> count;
  EXPECT_EQ(count, kProcesses * kTurns);
}

TEST(FileLockWithoutFlock, OneOfAnotherHostSaysWhatToDo) {
  const testing::TemporaryFolder folder;
  flock_fails_with = ENOLCK;
  ProcessId elsewhere = this_process();
  elsewhere.host = "other";
  std::ofstream(folder / ".a.lock") << text_of(elsewhere) << " 2026-01-02T03:04:05Z\n";
  const std::string message = message_of([&] { FileLock lock(folder / "a"); });
  EXPECT_THAT(message, AllOf(HasSubstr("tessera on other (process"), HasSubstr("since 2026-01-02T03:04:05Z"),
                             HasSubstr("remove"), HasSubstr(".a.lock")));
  flock_fails_with = 0;
  EXPECT_EQ(message_of([&] { FileLock lock(folder / "a"); }), "no error") << "flock() says that it has ended";
}

TEST(FileLockWithoutFlock, IsRespectedWhereFlockWorks) {
  const testing::TemporaryFolder folder;
  flock_fails_with = ENOLCK;
  {
    const FileLock lock(folder / "a");
    flock_fails_with = 0;  // as on another node
    EXPECT_THAT(message_of([&] { FileLock again(folder / "a"); }), HasSubstr("is in use by tessera on"));
  }
  EXPECT_EQ(message_of([&] { FileLock lock(folder / "a"); }), "no error") << "it was released";
}

TEST(Hdf5Lock, OfAnotherProgramIsRespected) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "a.h5";
  std::ofstream(file) << "x";
  const FileDescriptor program(file, O_RDWR);
  ASSERT_EQ(flock(program.get(), LOCK_EX | LOCK_NB), 0);  // as HDF5 does to write
  EXPECT_TRUE(is_open_for_writing(file));
  EXPECT_THAT(message_of([&] { FileLock lock(file); }), HasSubstr("open for writing in another program"));
  EXPECT_EQ(folder.entries(), 1) << "the lock file is left";
  ASSERT_EQ(flock(program.get(), LOCK_SH | LOCK_NB), 0);  // as HDF5 does to read
  EXPECT_FALSE(is_open_for_writing(file));
  const FileLock lock(file);
  EXPECT_EQ(flock(program.get(), LOCK_EX | LOCK_NB), -1) << "it could be opened for writing meanwhile";
  EXPECT_FALSE(is_open_for_writing(folder / "none"));
}

TEST(Hdf5Lock, IsHeldOnTheFileThatReplacedTheOldOne) {
  const testing::TemporaryFolder folder;
  const fs::path file = folder / "a.h5";
  FileLock lock(file);
  std::ofstream(file) << "x";
  const FileDescriptor program(file, O_RDWR);
  EXPECT_EQ(flock(program.get(), LOCK_EX | LOCK_NB), 0);
  ASSERT_EQ(flock(program.get(), LOCK_UN), 0);
  lock.hold_target();
  EXPECT_EQ(flock(program.get(), LOCK_EX | LOCK_NB), -1);
}

TEST(FileLock, AFolderThatIsNotWritableIsReported) {
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "mine");
  fs::permissions(folder / "mine", fs::perms::owner_read | fs::perms::owner_exec);
  const std::string message = testing::message_of_child([&] {
    testing::become_ordinary_user();
    FileLock lock(folder / "mine" / "a");
  });
  EXPECT_THAT(message, AllOf(HasSubstr("Permission denied"), HasSubstr("writable")));
}

}  // namespace
}  // namespace tessera
