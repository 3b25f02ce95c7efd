#include "io/base/process_id.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <span>

#include "io/base/crc32c.h"

namespace tessera {
namespace {

constexpr std::size_t kLongestHost = 63;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  std::string plain(name.data());
  if (plain.empty()) return "unknown";
  for (char& c : plain)
    if (!is_plain(c)) c = '-';
  return plain.substr(0, kLongestHost);
}

/// /proc/PID/stat from its third field on, with a blank before it; "" when it cannot be read.
std::string stat_of(std::int64_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t at = text.rfind(')');  // the name before it may hold spaces and brackets
  return at == std::string::npos ? "" : text.substr(at + 1);
}

/// Whether the process has ended, and only its parent does not know yet.
bool is_zombie(std::int64_t pid) {
  const std::string text = stat_of(pid);
  return text.starts_with(" Z") || text.starts_with(" X");
}

/// Field 22 of /proc/PID/stat; 0 when it cannot be read.
std::uint64_t start_of(std::int64_t pid) {
  const std::string text = stat_of(pid);
  if (text.empty()) return 0;
  std::size_t at = 0;
  constexpr int kFieldsBefore = 19;  // 3 to 21
  for (int field = 0; field < kFieldsBefore && at != std::string::npos; ++field)
    at = text.find(' ', at + 1);
  std::uint64_t start = 0;
  if (at != std::string::npos) std::from_chars(text.data() + at + 1, text.data() + text.size(), start);
  return start;
}

/// The number of the first namespace is the same on every Linux, so the start of the kernel is part of it:
/// cloned nodes may have one name.
std::uint64_t own_name_space() {
  struct stat found {};
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  const std::uint64_t number = stat("/proc/self/ns/pid", &found) == 0 ? found.st_ino : 0;
  return number << 32 ^ crc32c(std::as_bytes(std::span(boot)));
}

template <class Number>
bool take_last_number(std::string_view& text, Number& number) {
  const std::size_t dash = text.rfind('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view digits = text.substr(dash + 1);
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  text = text.substr(0, dash);
  return code == std::errc{} && end == digits.data() + digits.size() && !digits.empty() && number >= 0;
}

}  // namespace

ProcessId this_process() {
  return {host_name(), getpid(), start_of(getpid()), own_name_space()};
}

std::string text_of(const ProcessId& process) {
  return fmt::format("{}-{}-{}-{}", process.host, process.pid, process.start, process.name_space);
}

std::optional<ProcessId> parse_process_id(std::string_view text) {
  ProcessId process;
  if (!take_last_number(text, process.name_space) || !take_last_number(text, process.start) ||
      !take_last_number(text, process.pid) || text.empty() || text.size() > kLongestHost)
    return std::nullopt;
  for (const char c : text)
    if (!is_plain(c)) return std::nullopt;
  process.host = text;
  return process;
}

ProcessState state_of(const ProcessId& process) {
  if (process.host != host_name() || process.name_space != own_name_space()) return ProcessState::elsewhere;
  if (process.pid <= 0) return ProcessState::ended;
  if (kill(static_cast<pid_t>(process.pid), 0) != 0 && errno == ESRCH) return ProcessState::ended;
  if (is_zombie(process.pid)) return ProcessState::ended;
  const std::uint64_t start = start_of(process.pid);
  return start != 0 && process.start != 0 && start != process.start ? ProcessState::ended
                                                                    : ProcessState::running;
}

}  // namespace tessera
