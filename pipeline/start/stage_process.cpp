#include "pipeline/start/stage_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "io/base/clock.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/log.h"

namespace tessera {
namespace {

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGUSR2};
/// How long a stage may take to save its state, and to end after SIGTERM.
constexpr double kSaving_s = 600, kEnding_s = 20;

// A signal handler may write only a variable of this type.
volatile std::sig_atomic_t signals_heard = 0;

void count_signal(int /*signal*/) {
  signals_heard = signals_heard + 1;
}

void handle_signals(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : kSignals)
    sigaction(signal, &action, nullptr);
}

/// The child's side of fork(): nothing but system calls. Writes errno to `failed` when exec fails.
[[noreturn]] void become(char* const* arguments, pid_t parent, int failed) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGUSR2);
  if (getppid() != parent) _exit(128 + SIGUSR2);
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  execvp(arguments[0], arguments);
  const int error = errno;
  if (write(failed, &error, sizeof error) < 0) _exit(126);
  _exit(127);
}

/// The running program. It is asked to end, more and more firmly.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}

  int wait() {
    int status = 0;
    while (true) {
      const pid_t ended = waitpid(pid_, &status, WNOHANG);
      if (ended == pid_) break;
      if (ended < 0 && errno != EINTR)
        throw Error(fmt::format("cannot wait for a stage: {}", errno_text(errno)));
      ask_to_end();
      const timespec pause{0, 20'000'000};
      nanosleep(&pause, nullptr);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  void ask_to_end() {
    const int heard = signals_heard;
    const double waited_s = seconds_now() - asked_s_;
    if (step_ == 0 && heard > 0) {
      spdlog::warn("stopping: the stage saves its state (a second signal ends it at once)");
      send(SIGUSR2);
    } else if (step_ == 1 && (heard > 1 || waited_s > kSaving_s)) {
      send(SIGTERM);
    } else if (step_ == 2 && (heard > 2 || waited_s > kEnding_s)) {
      kill(-pid_, SIGKILL);
      send(SIGKILL);
    }
  }

  void send(int signal) {
    kill(pid_, signal);
    ++step_;
    asked_s_ = seconds_now();
  }

  pid_t pid_;
  int step_ = 0;
  double asked_s_ = 0;
};

}  // namespace

StageProcess::StageProcess() {
  handle_signals(count_signal);
}

StageProcess::~StageProcess() {
  handle_signals(SIG_DFL);
}

int StageProcess::run(const std::vector<std::string>& command) const {
  std::vector<char*> arguments;
  for (const std::string& one : command)
    arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw Error(fmt::format("cannot open a pipe: {}", errno_text(errno)));
  const FileDescriptor failure = FileDescriptor::owner_of(ends[0]);
  FileDescriptor failed = FileDescriptor::owner_of(ends[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) throw Error(fmt::format("cannot start {}: {}", command[0], errno_text(errno)));
  if (pid == 0) become(arguments.data(), parent, failed.get());
  setpgid(pid, pid);  // also here: a signal must not find the program in this process's group
  failed = FileDescriptor();
  int error = 0;
  ssize_t count = 0;
  while ((count = read(failure.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  const int exit_code = Child(pid).wait();
  if (count == sizeof error) throw Error(fmt::format("cannot start {}: {}", command[0], errno_text(error)));
  // The signal came before the program could handle it: it had not begun.
  return stop_asked() && exit_code == 128 + SIGUSR2 ? kExitStopped : exit_code;
}

bool StageProcess::stop_asked() {
  return signals_heard > 0;
}

}  // namespace tessera
