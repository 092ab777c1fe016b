#include "cli/base/text.h"

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

TEST(Text, FormatsBytesInUnitsOfAThousand) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.0 kB");
  EXPECT_EQ(FormatBytes(1'440'000), "1.4 MB");
  EXPECT_EQ(FormatBytes(999'960), "1.0 MB");
  EXPECT_EQ(FormatBytes(INT64_C(9'000'000'000'000'000'000)), "9000.0 PB");
}

TEST(Text, FormatsDurations) {
  EXPECT_EQ(FormatDuration(0), "0:00");
  EXPECT_EQ(FormatDuration(-3), "0:00");
  EXPECT_EQ(FormatDuration(67.4), "1:07");
  EXPECT_EQ(FormatDuration(59.6), "1:00");
  EXPECT_EQ(FormatDuration(3723), "1:02:03");
  EXPECT_EQ(FormatShortDuration(1.96), "1.96 s");
  EXPECT_EQ(FormatShortDuration(61), "1:01");
}

TEST(Text, ReplacesControlCharacters) {
  EXPECT_EQ(Printable("a\033[2Jb\r\n"), "a?[2Jb??");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "?31m");  // the one-byte CSI
  EXPECT_EQ(Printable("gpj.\xE2\x80\xAE"
                      "exe"),
            "gpj.?exe");  // right-to-left override
  EXPECT_EQ(Printable("\xFF\xC0\x80 \xE2\x82"), "??? ??");
  EXPECT_EQ(Printable("Füße 映画"), "Füße 映画");
}

TEST(Text, MakesFileNamesSafe) {
  EXPECT_EQ(SafeFileName("holiday 1.mov"), "holiday 1.mov");
  EXPECT_EQ(SafeFileName(".bashrc"), "_bashrc");
  EXPECT_EQ(SafeFileName("../../etc/passwd"), "_._.._etc_passwd");
  EXPECT_EQ(SafeFileName("C:\\a.mp4"), "C:_a.mp4");
  EXPECT_EQ(SafeFileName("-rf"), "_rf");
  EXPECT_EQ(SafeFileName(".."), "_.");
  EXPECT_EQ(SafeFileName("a\033[2J\n\xC2\x9B.mp4"), "a_[2J__.mp4");
  EXPECT_EQ(SafeFileName("gpj.\xE2\x80\xAE.exe"), "gpj._.exe");
  EXPECT_EQ(SafeFileName(""), "");
}

TEST(Text, QuotesForAShell) {
  EXPECT_EQ(ShellQuoted("asset-42/web_1.0"), "asset-42/web_1.0");
  EXPECT_EQ(ShellQuoted("order-\"7\""), "'order-\"7\"'");
  EXPECT_EQ(ShellQuoted("$HOME&x;*"), "'$HOME&x;*'");
  EXPECT_EQ(ShellQuoted("it's"), R"('it'\''s')");
  EXPECT_EQ(ShellQuoted("~a"), "'~a'");
  EXPECT_EQ(ShellQuoted(""), "''");
}

TEST(Text, CountsTheColumnsOfATerminal) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("Füße"), 4);
  EXPECT_EQ(DisplayWidth("映画"), 4);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1);  // with a combining accent
}

TEST(Text, CutsAtCharactersAndNeverPastTheWidth) {
  EXPECT_EQ(Truncated("holiday.mp4", 11), "holiday.mp4");
  EXPECT_EQ(Truncated("holiday.mp4", 6), "holid…");
  EXPECT_EQ(Truncated("映画館.mp4", 6), "映画…");
  EXPECT_EQ(Truncated("abc", 0), "");
  EXPECT_EQ(Padded("ab", 4), "ab  ");
  EXPECT_EQ(DisplayWidth(Padded("映画館", 4)), 4);
}

TEST(Text, CutsTheLastColumnButKeepsTwentyColumns) {
  const std::vector<std::vector<std::string>> rows = {{"ab", "0123456789012345678901234567890"}};
  EXPECT_EQ(FormatTable(rows, 30), "ab  0123456789012345678901234…\n");
  EXPECT_EQ(FormatTable(rows, 10), "ab  0123456789012345678…\n");
  EXPECT_EQ(FormatTable(rows, 80), "ab  0123456789012345678901234567890\n");
}

TEST(Text, AlignsTables) {
  EXPECT_EQ(FormatTable({{"A", "B"}, {"long", "x"}, {"", "y"}}), "A     B\nlong  x\n      y\n");
}

}  // namespace
}  // namespace millrace::cli
