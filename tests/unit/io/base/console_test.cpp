#include "io/base/console.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

namespace tessera {
namespace {

/// A pseudo-terminal of this width.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns) {
    const winsize size{24, columns, 0, 0};
    char name[64] = {};
    if (::openpty(&master_, &slave_, name, nullptr, &size) == 0) name_ = name;
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;
  ~PseudoTerminal() {
    ::close(master_);
    ::close(slave_);
  }
  const std::string& name() const { return name_; }
  void resize(unsigned short columns) const {
    const winsize size{24, columns, 0, 0};
    ::ioctl(master_, TIOCSWINSZ, &size);
  }

 private:
  int master_ = -1, slave_ = -1;
  std::string name_;
};

/// A variable of the environment for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = std::make_unique<std::string>(before);
    value != nullptr ? ::setenv(name, value, 1) : ::unsetenv(name);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }

 private:
  const char* name_;
  std::unique_ptr<std::string> before_;
};

/// What a Console writes, as a file sees it.
class Written {
 public:
  explicit Written(ConsoleOptions options) : file_(std::tmpfile()) {
    options.out = file_;
    console_ = std::make_shared<Console>(std::move(options));
    logger_ = std::make_unique<spdlog::logger>("test", console_);
  }
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;
  ~Written() { std::fclose(file_); }
  Console& console() { return *console_; }
  spdlog::logger& log() { return *logger_; }
  std::string text() const {
    std::string text(4096, '\0');
    std::rewind(file_);
    text.resize(std::fread(text.data(), 1, text.size(), file_));
    return text;
  }

 private:
  std::FILE* file_;
  std::shared_ptr<Console> console_;
  std::unique_ptr<spdlog::logger> logger_;
};

TEST(Console, WithoutATerminalMessagesHaveNoEscapes) {
  Written written({});
  EXPECT_FALSE(written.console().has_status_line());
  written.log().info("trained");
  written.log().warn("few labels");
  written.log().error(std::string(200, 'x') + " y");
  EXPECT_EQ(written.text(), "trained\nwarning: few labels\nerror: " + std::string(200, 'x') + " y\n");
}

TEST(Console, OtherRanksNameThemselves) {
  Written written({.prefix = "[rank 2] ", .names_info = true});
  written.log().info("here");
  written.log().error("full");
  EXPECT_EQ(written.text(), "[rank 2] info: here\n[rank 2] error: full\n");
}

TEST(Console, ColoursTheWordOnATerminal) {
  const PseudoTerminal terminal(80);
  ASSERT_FALSE(terminal.name().empty());
  const Variable kind("TERM", "xterm"), colours("NO_COLOR", nullptr);
  Written written({.terminal = Terminal(terminal.name())});
  written.log().warn("few labels");
  written.log().error("full");
  EXPECT_EQ(written.text(), "\033[33mwarning:\033[0m few labels\n\033[1;31merror:\033[0m full\n");
  const Variable none("NO_COLOR", "1");
  Written plain({.terminal = Terminal(terminal.name())});
  plain.log().warn("few labels");
  EXPECT_EQ(plain.text(), "warning: few labels\n");
}

TEST(Console, MessagesGoAboveTheStatusLine) {
  const PseudoTerminal terminal(80);
  const Variable kind("TERM", "xterm");
  Written written({.terminal = Terminal(terminal.name())});
  ASSERT_TRUE(written.console().has_status_line());
  written.console().show_status("train 10 %");
  written.log().info("validation");
  written.console().end_status();
  written.log().info("trained");
  EXPECT_EQ(written.text(), "\r\033[Ktrain 10 %\r\r\033[Kvalidation\ntrain 10 %\r\ntrained\n");
}

TEST(Console, ADumbTerminalAndNeverHaveNoStatusLine) {
  const PseudoTerminal terminal(80);
  {
    const Variable kind("TERM", "dumb");
    EXPECT_FALSE(Written({.terminal = Terminal(terminal.name())}).console().has_status_line());
  }
  const Variable kind("TERM", "xterm");
  EXPECT_FALSE(Written({.terminal = Terminal(terminal.name()), .style = ProgressStyle::never})
                   .console()
                   .has_status_line());
  EXPECT_TRUE(Written({.style = ProgressStyle::always}).console().has_status_line());
}

TEST(Console, WrapsAtTheWidthOfTheWindow) {
  const PseudoTerminal terminal(40);
  Written written({.terminal = Terminal(terminal.name())});
  written.log().info("one two three four five six seven eight nine ten");
  EXPECT_EQ(written.text(), "one two three four five six seven eight\n  nine ten\n");
}

TEST(Console, WrappedText) {
  EXPECT_EQ(wrapped_message("a b", 3, "  "), "a b");
  EXPECT_EQ(wrapped_message("aaa bbb ccc", 7, "  "), "aaa bbb\n  ccc");
  EXPECT_EQ(wrapped_message("a\nb", 10, "  "), "a\nb");
  EXPECT_EQ(wrapped_message("  - one two", 7, "  "), "  - one\n    two");
  EXPECT_EQ(wrapped_message("a " + std::string(20, 'x') + " b", 10, ""),
            "a\n" + std::string(20, 'x') + "\nb");
  EXPECT_EQ(wrapped_message("\u00e9\u00e9 \u00e9\u00e9", 5, ""), "\u00e9\u00e9 \u00e9\u00e9")
      << "characters, not bytes";
}

TEST(Terminal, KnowsTheWidthOfTheWindow) {
  const Variable named("COLUMNS", nullptr);
  const PseudoTerminal terminal(120);
  const Terminal known(terminal.name());
  EXPECT_EQ(known.columns(), 120);
  terminal.resize(200);
  EXPECT_EQ(known.columns(), 200);
  terminal.resize(0);
  EXPECT_EQ(known.columns(), 80) << "it has no size";
}

TEST(Terminal, WithoutOneColumnsCounts) {
  const Variable named("COLUMNS", "132");
  EXPECT_FALSE(Terminal().exists());
  EXPECT_FALSE(Terminal().has_colours());
  EXPECT_EQ(Terminal().columns(), 132);
  const Variable unset("COLUMNS", nullptr);
  EXPECT_EQ(Terminal().columns(), 80);
}

}  // namespace
}  // namespace tessera
