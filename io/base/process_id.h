#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// A process, as lock files and temporary names record it. Two processes never have the same record: the id
/// of a process that has ended may be given to another one, but not with the same start time.
struct ProcessId {
  std::string host;         ///< letters, digits, '.' and '-'; at most 63 characters
  std::int64_t pid = 0;     ///< in its namespace
  std::uint64_t start = 0;  ///< clock ticks from the host's start to the process's start; 0: unknown
  std::uint64_t name_space =
      0;  ///< of process ids: differs between containers of a host, and between hosts of one name

  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

ProcessId this_process();

/// "HOST-PID-START-NAMESPACE" and back. parse_process_id() returns nothing for any other text.
std::string text_of(const ProcessId& process);
std::optional<ProcessId> parse_process_id(std::string_view text);

/// Whether a process runs, as far as this process can see: `elsewhere` is another host or container.
enum class ProcessState { running, ended, elsewhere };
ProcessState state_of(const ProcessId& process);

}  // namespace tessera
