#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>
#include <string>

#include "tests/unit/error_message.h"

namespace tessera::testing {

/// The message of the Error that `step` throws in a child process, whose HDF5 state and process limits end
/// with it. "died" when the child ended in another way.
inline std::string message_of_child(const std::function<void()>& step) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    try {
      const std::string message = message_of(step);
      _exit(write(ends[1], message.data(), message.size()) == static_cast<ssize_t>(message.size()) ? 0 : 1);
    } catch (...) {
      _exit(1);
    }
  }
  close(ends[1]);
  std::string message;
  std::array<char, 512> part{};
  for (ssize_t got = 0; (got = read(ends[0], part.data(), part.size())) > 0;) {
    message.append(part.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? message : "died";
}

/// Limits the size of the files of this process to `bytes`: writing beyond fails as on a full disk.
inline void limit_file_size(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  setrlimit(RLIMIT_FSIZE, &limit);
}

/// Makes this process one of an ordinary user, since root may write anywhere.
inline void become_ordinary_user() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && seteuid(kNobody) != 0) _exit(2);
}

}  // namespace tessera::testing
