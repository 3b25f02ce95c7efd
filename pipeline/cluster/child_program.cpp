#include "pipeline/cluster/child_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/split_text.h"

extern char** environ;

namespace tessera {
namespace {

/// One end of a pipe.
class PipeEnd {
 public:
  explicit PipeEnd(int fd) : fd_(fd) {}
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;
  ~PipeEnd() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

std::array<int, 2> open_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw Error(fmt::format("cannot open a pipe: {}", errno_text(errno)));
  return ends;
}

/// Reads the available bytes; closes the pipe at its end.
void read_some(PipeEnd& from, std::string& to) {
  std::array<char, 65536> buffer{};
  const ssize_t count = read(from.get(), buffer.data(), buffer.size());
  if (count > 0) {
    to.append(buffer.data(), static_cast<std::size_t>(count));
  } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
    from.close();
  }
}

/// Reads both pipes until they are closed. False when the time is over before.
bool read_all(PipeEnd& output, PipeEnd& errors, ProgramEnd& end, double until_s) {
  while (output.get() >= 0 || errors.get() >= 0) {
    const double left = until_s - seconds_now();
    if (left <= 0) return false;
    std::array<pollfd, 2> ends{pollfd{output.get(), POLLIN, 0}, pollfd{errors.get(), POLLIN, 0}};
    if (poll(ends.data(), ends.size(), static_cast<int>(1000 * std::min(left, 3600.0)) + 1) < 0) continue;
    if (ends[0].revents != 0) read_some(output, end.output);
    if (ends[1].revents != 0) read_some(errors, end.errors);
  }
  return true;
}

}  // namespace

ProgramEnd run_program(const std::vector<std::string>& command, double limit_s,
                       const std::map<std::string, std::string>& environment) {
  const auto out = open_pipe();
  PipeEnd output(out[0]), output_there(out[1]);
  const auto err = open_pipe();
  PipeEnd errors(err[0]), errors_there(err[1]);

  std::vector<std::string> variables;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string variable = *one;
    if (environment.count(variable.substr(0, variable.find('='))) == 0) variables.push_back(variable);
  }
  for (const auto& [name, value] : environment)
    variables.push_back(fmt::format("{}={}", name, value));
  std::vector<char*> arguments, surroundings;
  for (const std::string& one : command)
    arguments.push_back(const_cast<char*>(one.c_str()));
  for (const std::string& one : variables)
    surroundings.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  surroundings.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output_there.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, errors_there.get(), 2);
  pid_t pid = 0;
  const int failed =
      posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), surroundings.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw Error(fmt::format("cannot start {}: {}", command[0], errno_text(failed)));
  output_there.close();
  errors_there.close();

  ProgramEnd end;
  const bool in_time = read_all(output, errors, end, seconds_now() + limit_s);
  if (!in_time) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time) throw Error(fmt::format("{} gave no answer within {:.0f} s", command[0], limit_s));
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return end;
}

bool program_exists(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split_text(path == nullptr ? "" : path, ':')) {
    const std::filesystem::path file = std::filesystem::path(folder.empty() ? "." : folder) / name;
    if (access(file.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(file)) return true;
  }
  return false;
}

}  // namespace tessera
