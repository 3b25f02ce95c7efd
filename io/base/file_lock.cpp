#include "io/base/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "io/base/error.h"
#include "io/base/process_id.h"
#include "io/base/temporary_name.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t kLongestName = 200;
constexpr int kMostTries = 100;
/// A lock file without a record is being written. Its process was killed when it stays so for this long.
constexpr std::time_t kUnfinishedAfter_s = 60;

struct Owner {
  ProcessId process;
  std::string since;          ///< UTC
  bool by_existence = false;  ///< it could not use flock(): the lock file's existence is the lock
};

constexpr std::string_view kByExistence = " exists";

std::string record_of_this_process(bool by_existence) {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  std::array<char, 32> since{};
  if (gmtime_r(&now, &utc) != nullptr) std::strftime(since.data(), since.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return fmt::format("{} {}{}\n", text_of(this_process()), since.data(), by_existence ? kByExistence : "");
}

/// At most a few hundred bytes of an open file.
std::string text_in(int fd) {
  std::array<char, 512> text{};
  const ssize_t size = pread(fd, text.data(), text.size(), 0);
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

std::string text_in(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text = text_in(fd);
  close(fd);
  return text;
}

std::optional<Owner> owner_in(std::string_view record) {
  const std::size_t space = record.find(' '), end = record.find('\n');
  if (space == std::string_view::npos || end == std::string_view::npos || end < space) return std::nullopt;
  const auto process = parse_process_id(record.substr(0, space));
  if (!process) return std::nullopt;
  std::string_view since = record.substr(space + 1, end - space - 1);
  const bool by_existence = since.ends_with(kByExistence);
  if (by_existence) since.remove_suffix(kByExistence.size());
  return Owner{*process, std::string(since), by_existence};
}

/// False also for lack of memory: a lock of a process that has ended is taken over.
bool is_own_record(const fs::path& file) noexcept {
  try {
    return owner_in(text_in(file)).value_or(Owner{}).process == this_process();
  } catch (const std::bad_alloc&) {
    return false;
  }
}

bool lacks_locks(int reason) {
  return reason == ENOLCK || reason == ENOTSUP || reason == EOPNOTSUPP || reason == ENOSYS ||
         reason == EINVAL;
}

int flock_of(int fd, int operation) {
  while (flock(fd, operation) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

bool is_named(int fd, const fs::path& file) {
  struct stat opened {
  }, named{};
  return fstat(fd, &opened) == 0 && lstat(file.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

void write_record(int fd, const fs::path& file, bool by_existence) {
  const std::string record = record_of_this_process(by_existence);
  if (ftruncate(fd, 0) != 0)
    throw Error(fmt::format("cannot write the lock {}: {}", file.string(), errno_text(errno)));
  write_fully(fd, std::as_bytes(std::span(record)), 0, file);
}

/// `seen`: whether the process was seen to run; otherwise the message says how to remove the lock.
[[noreturn]] void throw_in_use(const fs::path& target, const std::optional<Owner>& owner,
                               const fs::path& lock, bool seen) {
  std::string message =
      owner ? fmt::format("{} is in use by tessera on {} (process {}, since {})", target.string(),
                          owner->process.host, owner->process.pid, owner->since)
            : fmt::format("{} is in use by another tessera", target.string());
  if (!seen) message += fmt::format(": if that process has ended, remove {}", lock.string());
  throw UsageError(message);
}

/// The name under which a target is locked.
fs::path locked_name(const fs::path& target) {
  return resolve_links(target.has_filename() ? target : target.parent_path());  // "out/" is "out"
}

fs::path lock_file_of(const fs::path& locked) {
  return locked.parent_path() / ("." + shortened_name(locked.filename().string(), kLongestName) + ".lock");
}

}  // namespace

FileLock::FileLock(const fs::path& target) : target_(locked_name(target)) {
  std::error_code unknown;
  const fs::path folder = folder_of(target_);
  if (!fs::exists(folder, unknown) && !unknown) made_folder_ = folder;
  create_folder_of(target_);
  file_ = lock_file_of(target_);
  take();
  is_held_ = true;
  try {
    hold_target();
  } catch (...) {
    *this = FileLock();
    throw;
  }
}

FileLock::FileLock(FileLock&& other) noexcept {
  *this = std::move(other);
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(target_, other.target_);
  std::swap(file_, other.file_);
  std::swap(locked_, other.locked_);
  std::swap(held_target_, other.held_target_);
  std::swap(is_held_, other.is_held_);
  std::swap(made_folder_, other.made_folder_);
  return *this;
}

FileLock::~FileLock() {
  if (!is_held_) return;
  // While the lock is held: another process may use the name as soon as it is free.
  const bool is_mine = locked_.get() >= 0 ? is_named(locked_.get(), file_) : is_own_record(file_);
  if (is_mine) unlink(file_.c_str());
  if (!made_folder_.empty()) rmdir(made_folder_.c_str());  // unless something was written there
}

void FileLock::take() {
  for (int tries = 0; tries < kMostTries; ++tries) {
    if (try_flock()) return;
    std::this_thread::sleep_for(1ms);
  }
  throw_in_use(target_, owner_in(text_in(file_)), file_, false);
}

/// False: the lock file was removed or replaced meanwhile, so that it has to be opened again.
bool FileLock::try_flock() {
  int fd = open(file_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  const bool created = fd >= 0, existed = !created && errno == EEXIST;
  if (existed) fd = open(file_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  const bool readable_only =
      fd < 0 && errno == EACCES && (fd = open(file_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) >= 0;
  if (fd < 0) {
    if (existed && errno == ENOENT) return false;
    const FileDescriptor failed(file_, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);  // throws, with what to try
    return false;
  }
  FileDescriptor opened = FileDescriptor::owner_of(fd);
  const int reason = flock_of(fd, LOCK_EX | LOCK_NB);
  if (lacks_locks(reason)) {
    if (created) {
      write_record(fd, file_, true);
      return true;
    }
    return try_exclusive_file();
  }
  if (reason == EWOULDBLOCK) {
    std::optional<Owner> owner = owner_in(text_in(fd));
    for (int wait = 0; wait < kMostTries && (!owner || state_of(owner->process) == ProcessState::ended);
         ++wait) {
      std::this_thread::sleep_for(5ms);  // the owner is about to write its record, or has ended
      if (!is_named(fd, file_)) return false;
      owner = owner_in(text_in(fd));
    }
    throw_in_use(target_, owner, file_, true);
  }
  // NFS locks exclusively only what may be written.
  if (reason == EBADF && readable_only) throw_in_use(target_, owner_in(text_in(fd)), file_, false);
  if (reason != 0)
    throw Error(
        fmt::format("cannot lock {} by {}: {}", target_.string(), file_.string(), errno_text(reason)));
  if (!is_named(fd, file_)) return false;
  if (readable_only) {  // of another user who was killed
    if (unlink(file_.c_str()) != 0)
      throw Error(
          fmt::format("cannot remove the lock {} of another user: {}", file_.string(), errno_text(errno)));
    return false;
  }
  // A process on another node may see the same file without flock().
  if (const std::optional<Owner> owner = owner_in(text_in(fd)); owner && owner->by_existence) {
    const ProcessState state = state_of(owner->process);
    if (state != ProcessState::ended) throw_in_use(target_, owner, file_, state == ProcessState::running);
  }
  write_record(fd, file_, false);
  locked_ = std::move(opened);
  return true;
}

/// For file systems without flock(), when the lock file exists. True: it was taken over.
bool FileLock::try_exclusive_file() {
  const std::string record = text_in(file_);
  const std::optional<Owner> owner = owner_in(record);
  struct stat found {};
  if (lstat(file_.c_str(), &found) != 0) return false;
  const bool unfinished = !owner && std::time(nullptr) - found.st_mtime > kUnfinishedAfter_s;
  if (!owner && !unfinished) return false;
  const ProcessState state = owner ? state_of(owner->process) : ProcessState::ended;
  if (state != ProcessState::ended) throw_in_use(target_, owner, file_, state == ProcessState::running);
  // Only the process that creates the guard removes the file, and only after it has read it once more: so no
  // process removes the new lock of another one.
  const fs::path guard = file_.string() + ".taken";
  const int fd = open(guard.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) {
    if (lstat(guard.c_str(), &found) == 0 && std::time(nullptr) - found.st_mtime > kUnfinishedAfter_s)
      unlink(guard.c_str());  // its process was killed
    return false;
  }
  close(fd);
  if (text_in(file_) == record) unlink(file_.c_str());
  unlink(guard.c_str());
  return false;
}

void FileLock::hold_target() {
  held_target_ = FileDescriptor();
  const int fd = open(target_.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;  // it does not exist, or its owner decides
  FileDescriptor opened = FileDescriptor::owner_of(fd);
  struct stat found {};
  if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) return;
  if (flock_of(fd, LOCK_SH | LOCK_NB) == EWOULDBLOCK) {
    throw UsageError(fmt::format(
        "{} is open for writing in another program: what it writes would be lost. Close it there first",
        target_.string()));
  }
  held_target_ = std::move(opened);
}

bool owner_was_killed(const fs::path& target) {
  const std::optional<Owner> owner = owner_in(text_in(lock_file_of(locked_name(target))));
  return owner && state_of(owner->process) == ProcessState::ended;
}

bool is_open_for_writing(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  const FileDescriptor opened = FileDescriptor::owner_of(fd);
  return flock_of(fd, LOCK_SH | LOCK_NB) == EWOULDBLOCK;
}

}  // namespace tessera
