#pragma once

#include <spdlog/sinks/base_sink.h>

#include <array>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>

#include "io/base/enum_names.h"
#include "io/base/terminal.h"

namespace tessera {

/// Whether progress is drawn as a line that is redrawn in place. `automatic`: on a terminal.
enum class ProgressStyle { automatic, always, never };
constexpr auto enum_names(ProgressStyle) {
  return std::to_array<EnumName<ProgressStyle>>({{ProgressStyle::automatic, "auto"},
                                                 {ProgressStyle::always, "always"},
                                                 {ProgressStyle::never, "never"}});
}

/// Where and how a Console writes.
struct ConsoleOptions {
  std::FILE* out = stderr;
  std::string prefix = {};  ///< of every message, such as "[rank 2] "
  bool names_info = false;  ///< messages of level info begin with "info: "
  Terminal terminal = {};   ///< messages are wrapped at its width; none: as they are
  ProgressStyle style = ProgressStyle::automatic;
};

/// Log messages, and beneath them at most one status line, which is redrawn in place. Messages are
/// "warning: ..." and "error: ...", coloured on a terminal; those of level info have no such word. No escape
/// sequence is written without a terminal, unless the style is `always`. Thread-safe.
class Console : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit Console(ConsoleOptions options) : options_(std::move(options)) {}

  /// To be called before the first message.
  void set_style(ProgressStyle style) { options_.style = style; }
  /// From now on each warning is shown once: for a verb that opens the same files several times.
  void show_warnings_once() { once_ = true; }
  /// Whether show_status() draws a line.
  bool has_status_line() const;
  /// Of the window, now.
  int columns() const { return options_.terminal.columns(); }
  /// Draws the line in place of the one before it: one line, shorter than columns().
  void show_status(const std::string& line);
  /// Leaves the last status line where it is: what follows is written beneath it.
  void end_status();

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override { std::fflush(options_.out); }

 private:
  void write(const std::string& text) const;

  ConsoleOptions options_;
  std::string status_;
  bool once_ = false;
  std::set<std::string> warnings_;  ///< that were shown since
};

/// The Console of this process's log, which start_log() made; null before.
Console* console();

/// Words of `text` in lines of at most `columns` columns; further lines begin with `indent`. A word that is
/// longer has a line of its own. Line ends of the text stay.
std::string wrapped_message(const std::string& text, int columns, const std::string& indent);

}  // namespace tessera
