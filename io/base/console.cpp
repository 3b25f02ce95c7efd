#include "io/base/console.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <sstream>

namespace tessera {
namespace {

constexpr const char* kEraseLine = "\r\033[K";
constexpr const char* kRed = "\033[1;31m";
constexpr const char* kYellow = "\033[33m";
constexpr const char* kPlain = "\033[0m";
constexpr const char* kIndent = "  ";

/// Characters of UTF-8 text.
std::size_t length_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

const char* colour_of(spdlog::level::level_enum level) {
  if (level >= spdlog::level::err) return kRed;
  return level == spdlog::level::warn ? kYellow : nullptr;
}

}  // namespace

std::string wrapped_message(const std::string& text, int columns, const std::string& indent) {
  const auto width = static_cast<std::size_t>(std::max(columns, 1));
  std::string result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!result.empty()) result += '\n';
    if (length_of(line) <= width) {
      result += line;
      continue;
    }
    const std::string own = line.substr(0, std::min(line.find_first_not_of(' '), line.size()));
    result += own;
    std::size_t used = length_of(own);
    bool first = true;
    std::istringstream words(line);
    for (std::string word; words >> word; first = false) {
      if (!first && used + 1 + length_of(word) > width) {
        result += '\n';
        result += own;
        result += indent;
        used = length_of(own) + indent.size();
      } else if (!first) {
        result += ' ';
        ++used;
      }
      result += word;
      used += length_of(word);
    }
  }
  return result;
}

Console* console() {
  const auto& sinks = spdlog::default_logger()->sinks();
  return sinks.empty() ? nullptr : dynamic_cast<Console*>(sinks.front().get());
}

bool Console::has_status_line() const {
  return options_.style == ProgressStyle::always ||
         (options_.style == ProgressStyle::automatic && options_.terminal.redraws());
}

void Console::show_status(const std::string& line) {
  const std::lock_guard lock(mutex_);
  status_ = line;
  // The cursor stays at the beginning, so that what mpirun or another process writes has a line of its own.
  write(kEraseLine + status_ + "\r");
}

void Console::end_status() {
  const std::lock_guard lock(mutex_);
  if (!status_.empty()) write("\n");
  status_.clear();
}

void Console::sink_it_(const spdlog::details::log_msg& message) {
  const std::string said(message.payload.data(), message.payload.size());
  if (once_ && message.level == spdlog::level::warn && !warnings_.insert(said).second) return;
  std::string word;
  if (message.level != spdlog::level::info || options_.names_info) {
    const auto name = spdlog::level::to_string_view(message.level);
    word = std::string(name.data(), name.size()) + ":";
  }
  std::string text = options_.prefix + word + (word.empty() ? "" : " ") + said;
  if (options_.terminal.exists()) text = wrapped_message(text, columns(), kIndent);
  const char* colour = colour_of(message.level);
  if (colour != nullptr && options_.terminal.has_colours())
    text.replace(options_.prefix.size(), word.size(), colour + word + kPlain);
  // Another process of the job may have drawn its status line here.
  const bool erases = !status_.empty() || (has_status_line() && !options_.prefix.empty());
  write((erases ? kEraseLine : "") + text + "\n" + (status_.empty() ? "" : status_ + "\r"));
}

void Console::write(const std::string& text) const {
  std::fwrite(text.data(), 1, text.size(), options_.out);
  std::fflush(options_.out);
}

}  // namespace tessera
