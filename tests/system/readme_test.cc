#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "media-fixtures/facts.h"
#include "tests/system/service_test.h"

// Runs the commands of README.md.

namespace millrace::harness {
namespace {

constexpr const char* kHeading = "## A walk through with curl";
constexpr const char* kPrintedUrl = "http://127.0.0.1:8080";

class ReadmeTest : public ServiceTest {};

// Returns the shell blocks below the heading, up to the next heading of its level.
std::string WalkThrough() {
  std::ifstream file(MILLRACE_README);
  std::string script;
  bool below = false;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) below = line == kHeading;
    if (!below) continue;
    if (line.starts_with("```")) {
      inside = line == "```sh";
    } else if (inside) {
      script += line + "\n";
    }
  }
  return script;
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

TEST_F(ReadmeTest, TheWalkThroughWorksAsPrinted) {
  const std::string printed = WalkThrough();
  ASSERT_NE(printed.find("curl"), std::string::npos) << MILLRACE_README << " has no walk-through";
  ASSERT_NE(printed.find(kPrintedUrl), std::string::npos);
  Service& service = Begin();
  const std::filesystem::path folder = service.download_dir();
  std::filesystem::copy_file(fixtures::FixturePath("sdr-720p-aac.mp4"), folder / "video.mp4");
  // Replace the port, which may be in use, and nothing else.
  const CommandResult result = RunCommand(
      {.program = "bash",
       .arguments = {"-euxo", "pipefail", "-c", Replaced(printed, kPrintedUrl, service.url())},
       .folder = folder},
      kJobLimit);
  EXPECT_EQ(result.end.exit_status, 0) << result.out << result.err;
  for (const char* made : {"web.mp4", "poster.jpg"}) {
    EXPECT_EQ(fixtures::MeasureFacts(folder / made)["readable"], true) << made;
  }
}

}  // namespace
}  // namespace millrace::harness
