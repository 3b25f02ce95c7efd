#include "io/base/replace_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "io/base/temporary_name.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// The old folder between the two renames has temporary names of this target.
fs::path replaced_name(const fs::path& target) {
  return target.string() + "~replaced";
}

void rename_or_fail(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw Error(fmt::format("cannot rename {} to {}: {}", from.string(), to.string(), errno_text(errno)));
}

/// False: the file system cannot exchange names.
bool exchange_names(const fs::path& one, const fs::path& other) {
  if (renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP || errno == EOPNOTSUPP) return false;
  throw Error(fmt::format("cannot exchange {} with {}: {}", one.string(), other.string(), errno_text(errno)));
}

/// Everything in the folder is on the disk.
void sync_folder(const fs::path& folder) {
  const FileDescriptor opened(folder, O_RDONLY | O_DIRECTORY);
  if (syncfs(opened.get()) != 0)
    throw Error(fmt::format("cannot sync {}: {}", folder.string(), errno_text(errno)));
}

}  // namespace

void replace_folder(const fs::path& staged, const fs::path& target, NameExchange how) {
  sync_folder(staged);
  struct stat old {};
  if (lstat(target.c_str(), &old) != 0) {
    put_in_place(staged, target);
    return;
  }
  if (chmod(staged.c_str(), old.st_mode & 07777) != 0) {
    throw Error(fmt::format("cannot keep the permissions of {}: {}", target.string(), errno_text(errno)));
  }
  fs::path replaced = staged;
  if (how == NameExchange::two_renames || !exchange_names(staged, target)) {
    replaced = temporary_name(replaced_name(target));
    rename_or_fail(target, replaced);
    try {
      rename_or_fail(staged, target);
    } catch (...) {
      rename_or_fail(replaced, target);
      throw;
    }
  }
  sync_to_disk(folder_of(target));
  std::error_code code;
  fs::remove_all(replaced, code);
  if (code) spdlog::warn("{}, which was replaced, cannot be removed: {}", replaced.string(), code.message());
}

void mend_replaced_folder(const fs::path& target) {
  // Their processes have ended: this one has the lock.
  for (const fs::path& replaced : all_temporaries(replaced_name(target))) {
    if (fs::exists(fs::symlink_status(target))) {
      std::error_code code;
      fs::remove_all(replaced, code);  // what stays is tried again by the next call
    } else {
      rename_or_fail(replaced, target);
      spdlog::warn("{} has its old content again: the process that replaced it was killed", target.string());
    }
  }
}

}  // namespace tessera
