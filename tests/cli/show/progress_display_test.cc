#include "cli/show/progress_display.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

using Stream = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

ProgressRow Row(const std::string& label, int percent, const std::string& phase = "transcoding") {
  ProgressRow row;
  row.label = label;
  row.phase = phase;
  row.percent = percent;
  return row;
}

std::string ContentOf(std::FILE* file) {
  std::string content(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  content.resize(std::fread(content.data(), 1, content.size(), file));
  return content;
}

// A terminal of a given size, whose screen can be read back.
class PseudoTerminal {
 public:
  PseudoTerminal(unsigned short columns, unsigned short rows)
      : master_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), screen_(nullptr, &std::fclose) {
    grantpt(master_.get());
    unlockpt(master_.get());
    const int slave = open(ptsname(master_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC);
    termios raw{};
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    const winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ioctl(slave, TIOCSWINSZ, &size);
    screen_.reset(fdopen(slave, "w"));
  }

  std::FILE* screen() { return screen_.get(); }
  std::string Read() {
    std::array<char, 8192> block;
    const ssize_t got = read(master_.get(), block.data(), block.size());
    return {block.data(), static_cast<size_t>(got > 0 ? got : 0)};
  }

 private:
  UniqueFd master_;
  Stream screen_;
};

TEST(ProgressDisplay, PrintsALineForEachPhaseAndTenPercentWithoutATerminal) {
  const Stream file(std::tmpfile(), &std::fclose);
  ASSERT_EQ(ProgressDisplay::KindFor(file.get()), ProgressDisplay::Kind::kLines);
  ProgressDisplay display(file.get(), ProgressDisplay::Kind::kLines, 1);
  display.Update(0, Row("a", 0, "queued"));
  for (int percent = 0; percent <= 21; ++percent) display.Update(0, Row("a", percent));
  EXPECT_EQ(ContentOf(file.get()),
            "a: 0% queued\na: 0% transcoding\na: 10% transcoding\na: 20% transcoding\n");
}

TEST(ProgressDisplay, DrawsABarForEachJobInItsPlace) {
  PseudoTerminal terminal(60, 24);
  setenv("TERM", "xterm", 1);
  ASSERT_EQ(ProgressDisplay::KindFor(terminal.screen()), ProgressDisplay::Kind::kBars);
  ProgressDisplay display(terminal.screen(), ProgressDisplay::Kind::kBars, 2);
  display.Update(0, Row("a.mp4", 10));
  EXPECT_THAT(terminal.Read(), HasSubstr("a.mp4"));
  display.Update(1, Row("b.mp4", 20));
  const std::string second = terminal.Read();
  EXPECT_THAT(second, testing::StartsWith("\033[1A\r\033[K"));
  EXPECT_THAT(second, HasSubstr("a.mp4"));
  EXPECT_THAT(second, HasSubstr("b.mp4"));
  display.Update(0, Row("a.mp4", 30));
  EXPECT_THAT(terminal.Read(), testing::StartsWith("\033[2A\r\033[K"));
}

TEST(ProgressDisplay, FitsALowScreen) {
  PseudoTerminal terminal(60, 6);
  ProgressDisplay display(terminal.screen(), ProgressDisplay::Kind::kBars, 9);
  std::string frame;
  for (size_t i = 0; i < 9; ++i) {
    display.Update(i, Row("file-" + std::to_string(i), 10));
    frame = terminal.Read();
  }
  EXPECT_EQ(std::ranges::count(frame, '\n'), 5);
  EXPECT_THAT(frame, HasSubstr("and 5 more"));
  EXPECT_THAT(frame, Not(HasSubstr("file-4")));
}

TEST(ProgressDisplay, DoesNotRepeatItself) {
  const Stream file(std::tmpfile(), &std::fclose);
  ProgressDisplay display(file.get(), ProgressDisplay::Kind::kBars, 1);
  display.Update(0, Row("a", 5));
  const long length = std::ftell(file.get());
  display.Update(0, Row("a", 5));
  EXPECT_EQ(std::ftell(file.get()), length);
}

}  // namespace
}  // namespace millrace::cli
