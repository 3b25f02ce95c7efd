#include "io/base/staged_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/temporary_name.h"

namespace tessera {
namespace {

constexpr mode_t kPermissions = 07777;

}  // namespace

StagedFile::StagedFile(const std::filesystem::path& to) : to_(resolve_links(to)) {
  create_folder_of(to_);
  struct stat old {};
  if (lstat(to_.c_str(), &old) == 0) {
    if (!S_ISREG(old.st_mode)) {
      throw Error(fmt::format("cannot write {}: it is {}, not a file", to.string(),
                              S_ISDIR(old.st_mode) ? "a folder" : "a device or a pipe"));
    }
    mode_ = old.st_mode & kPermissions;
    owner_ = old.st_uid;
    group_ = old.st_gid;
  }
  remove_stale_temporaries(to_);
  staged_ = temporary_name(to_);
  // A private file stays private while its replacement is written.
  const FileDescriptor created(staged_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
                               mode_ == 0 ? 0666 : (mode_ & 0777) | S_IRUSR | S_IWUSR);
}

StagedFile::~StagedFile() {
  if (!committed_) {
    std::error_code ignored;  // a destructor cannot report it
    std::filesystem::remove(staged_, ignored);
  }
}

void StagedFile::commit() {
  if (mode_ != 0) {
    // Only root may give a file away, and only members of a group may use it: as far as this user can.
    const uid_t owner = geteuid() == 0 ? owner_ : static_cast<uid_t>(-1);
    const bool kept = lchown(staged_.c_str(), owner, group_) == 0;
    const mode_t mode = kept ? mode_ : mode_ & static_cast<mode_t>(~(S_ISUID | S_ISGID));
    if (chmod(staged_.c_str(), mode) != 0) {
      throw Error(fmt::format("cannot keep the permissions of {}: {}", to_.string(), errno_text(errno)));
    }
  }
  put_in_place(staged_, to_);
  committed_ = true;
}

void create_file(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  FileDescriptor out(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
  try {
    write_fully(out.get(), bytes, 0, file);
    out.close(file);
  } catch (...) {
    std::error_code ignored;  // the failed write is the message to report
    std::filesystem::remove(file, ignored);
    throw;
  }
}

void replace_file(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  StagedFile staged(file);
  {
    // The descriptor that wrote is synchronised and closed: another one may not hear of a failed write.
    FileDescriptor out(staged.path(), O_WRONLY | O_NOFOLLOW);
    write_fully(out.get(), bytes, 0, staged.path());
    sync_data(out.get(), staged.path());
    out.close(staged.path());
  }
  staged.commit();
}

}  // namespace tessera
