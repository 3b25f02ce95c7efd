#include "io/base/crash_report.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <string_view>

namespace tessera {
namespace {

constexpr std::array<int, 5> kCrashes{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr int kMaxCalls = 60;

std::atomic<bool> reported = false;

/// Only system calls and what execinfo.h and dlfcn.h offer: locks and memory may be in any state.
void say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string_view file_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

/// Whether calls in this file only pass a failure on, as abort() does.
bool passes_on(std::string_view file) {
  return file.starts_with("libc.so") || file.starts_with("libstdc++.so") || file.starts_with("libgcc_s.so");
}

/// The file that the innermost call belongs to, apart from the C and C++ runtimes. `calls` begins behind the
/// signal's own frame.
std::string_view place_of(void* const* calls, int count) {
  std::string_view first = "an unknown place";
  for (int i = 0; i < count; ++i) {
    Dl_info info{};
    if (::dladdr(calls[i], &info) == 0 || info.dli_fname == nullptr) continue;
    const std::string_view file = file_name(info.dli_fname);
    if (!passes_on(file)) return file;
    if (i == 0) first = file;
  }
  return first;
}

void on_crash(int signal) {
  if (!reported.exchange(true)) {
    std::array<void*, kMaxCalls> calls{};
    const int count = ::backtrace(calls.data(), kMaxCalls);
    constexpr int kOwn = 2;  // this function and the signal's frame
    const int skipped = count > kOwn ? kOwn : 0;
    say("error: the process crashed in ");
    say(place_of(calls.data() + skipped, count - skipped));
    say(": ");
    say(::strsignal(signal));
    say(". This is a fault of the program or of a library, or memory ran out. Please report it with these "
        "lines:\n");
    ::backtrace_symbols_fd(calls.data() + skipped, count - skipped, STDERR_FILENO);
  } else {
    ::sleep(2);  // another thread is reporting
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void report_crashes() {
  std::array<void*, 1> none{};
  ::backtrace(none.data(), 1);  // loads what it needs: a crash may leave no memory for that
  static std::array<char, 1U << 16> stack;
  stack_t own{};
  own.ss_sp = stack.data();
  own.ss_size = stack.size();
  ::sigaltstack(&own, nullptr);  // of the main thread, whose stack may have run out
  struct sigaction action {};
  action.sa_handler = on_crash;
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  for (const int signal : kCrashes)
    ::sigaction(signal, &action, nullptr);
}

}  // namespace tessera
