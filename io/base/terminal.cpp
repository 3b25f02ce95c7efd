#include "io/base/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>

#include "io/base/durable_file.h"

namespace tessera {
namespace fs = std::filesystem;
namespace {

constexpr int kLook = O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
constexpr int kUsualColumns = 80, kFewestColumns = 20;
/// The launcher is the parent, or there is a script or a wrapper such as nice between them.
constexpr int kMostAncestors = 4;

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != 0;
}

std::string contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// What an open file of a process is: "/dev/pts/3", "pipe:[1234]"; "" if unknown.
std::string open_file(const std::string& process, int number) {
  std::error_code unknown;
  return fs::read_symlink(fmt::format("/proc/{}/fd/{}", process, number), unknown).string();
}

bool is_terminal(const std::string& device) {
  const FileDescriptor file = FileDescriptor::owner_of(::open(device.c_str(), kLook));
  return file.get() >= 0 && ::isatty(file.get()) != 0;
}

/// The parent of a process, from /proc/PID/stat; "" if unknown.
std::string parent_of(const std::string& process) {
  const std::string stat = contents("/proc/" + process + "/stat");
  const std::size_t name_end = stat.rfind(')');  // ") S 1234 ..."
  if (name_end == std::string::npos || name_end + 4 >= stat.size()) return {};
  const std::size_t begin = name_end + 4;
  return stat.substr(begin, stat.find(' ', begin) - begin);
}

bool is_launcher(const std::string& process) {
  const std::string name = contents("/proc/" + process + "/comm");
  for (const char* launcher : {"mpirun\n", "mpiexec\n", "orterun\n", "prterun\n"}) {
    if (name == launcher) return true;
  }
  return false;
}

/// Whether mpirun was told to change what the ranks write: a line drawn in place would be illegible.
bool labels_lines(const std::string& launcher) {
  for (const char* variable : {"OMPI_MCA_orte_tag_output", "OMPI_MCA_orte_timestamp_output"}) {
    if (is_set(variable)) return true;
  }
  const std::string arguments = contents("/proc/" + launcher + "/cmdline");
  for (const std::string_view option :
       {"-tag-output", "-timestamp-output", "orte_tag_output", "orte_timestamp_output", "-xml"}) {
    if (arguments.find(option) != std::string::npos) return true;
  }
  return false;
}

bool has_open(const std::string& process, const std::string& wanted) {
  std::error_code unknown;
  for (const auto& entry : fs::directory_iterator("/proc/" + process + "/fd", unknown)) {
    std::error_code closed;
    if (fs::read_symlink(entry.path(), closed).string() == wanted) return true;
  }
  return false;
}

/// The terminal of the mpirun that reads this process's standard error; "" without one.
std::string terminal_of_launcher() {
  const std::string pipe = open_file("self", STDERR_FILENO);
  if (pipe.rfind("pipe:", 0) != 0) return {};
  std::string process = fmt::format("{}", ::getppid());
  for (int i = 0; i < kMostAncestors && process.size() > 1; ++i, process = parent_of(process)) {
    if (!is_launcher(process)) continue;
    if (!has_open(process, pipe) || labels_lines(process)) return {};
    const std::string device = open_file(process, STDERR_FILENO);
    return is_terminal(device) ? device : std::string();
  }
  return {};
}

}  // namespace

Terminal Terminal::of_standard_error() {
  if (::isatty(STDERR_FILENO) == 0) return Terminal(terminal_of_launcher());
  const std::string device = open_file("self", STDERR_FILENO);
  return Terminal(device.empty() ? "/dev/stderr" : device);
}

bool Terminal::redraws() const {
  const char* kind = std::getenv("TERM");
  return exists() && (kind == nullptr || std::string_view(kind) != "dumb");
}

bool Terminal::has_colours() const {
  return redraws() && !is_set("NO_COLOR");
}

int Terminal::columns() const {
  int columns = 0;
  if (exists()) {
    const FileDescriptor file = FileDescriptor::owner_of(::open(device_.c_str(), kLook));
    winsize size{};
    if (file.get() >= 0 && ::ioctl(file.get(), TIOCGWINSZ, &size) == 0) columns = size.ws_col;
  }
  const char* named = std::getenv("COLUMNS");
  if (columns <= 0 && named != nullptr) columns = std::atoi(named);
  return columns <= 0 ? kUsualColumns : std::max(columns, kFewestColumns);
}

}  // namespace tessera
