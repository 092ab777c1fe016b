#include "core/base/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "core/base/error.h"
#include "tests/fakes/temp_dir.h"

namespace millrace {
namespace {

struct Values {
  std::string name = "default";
  int count = 1;
  std::chrono::milliseconds wait{1500};
  std::chrono::milliseconds keep{2500};
  std::filesystem::path folder = "here";
  bool quiet = false;
  std::vector<std::string> labels;
};

std::optional<int> Parse(Values& values, std::vector<std::string> arguments) {
  SettingsParser parser("program", "A program of a test");
  parser.Add("some-name", values.name, "a name");
  parser.Add("count", values.count, "a count");
  parser.Add("wait", values.wait, "a time");
  parser.AddFromZero("keep", values.keep, "a time");
  parser.Add("folder", values.folder, "a folder");
  parser.AddFlag("quiet", values.quiet, "a flag");
  parser.Add("label", values.labels, "labels");
  arguments.insert(arguments.begin(), "program");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return parser.Parse(static_cast<int>(argv.size()), argv.data());
}

TEST(Settings, KeepsDefaults) {
  Values values;
  EXPECT_EQ(Parse(values, {}), std::nullopt);
  EXPECT_EQ(values.name, "default");
  EXPECT_EQ(values.wait, std::chrono::milliseconds(1500));
  EXPECT_EQ(values.folder, "here");
}

TEST(Settings, PrefersFlagsToTheEnvironmentAndTheEnvironmentToTheFile) {
  const TempDir dir;
  const std::string file = (dir.path() / "settings.toml").string();
  std::ofstream(file) << "some-name = \"file\"\ncount = 3\nwait = 0.25\n";
  setenv("MILLRACE_COUNT", "4", 1);
  setenv("MILLRACE_SOME_NAME", "environment", 1);
  Values values;
  EXPECT_EQ(Parse(values, {"--config", file, "--some-name", "flag"}), std::nullopt);
  unsetenv("MILLRACE_COUNT");
  unsetenv("MILLRACE_SOME_NAME");
  EXPECT_EQ(values.name, "flag");
  EXPECT_EQ(values.count, 4);
  EXPECT_EQ(values.wait, std::chrono::milliseconds(250));
}

TEST(Settings, AcceptsZeroSecondsOnlyWhereAllowed) {
  Values values;
  EXPECT_EQ(Parse(values, {"--keep", "0"}), std::nullopt);
  EXPECT_EQ(values.keep, std::chrono::milliseconds(0));
  for (const char* wrong : {"--wait=0", "--keep=-1", "--keep=2e9"}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(Parse(values, {wrong}), 2) << wrong;
    EXPECT_NE(testing::internal::GetCapturedStderr().find(std::string(wrong).substr(0, 6)),
              std::string::npos);
  }
}

TEST(Settings, ReadsFlagsFoldersAndLists) {
  Values values;
  EXPECT_EQ(Parse(values, {"--quiet", "--folder", "there", "--label", "a=1,b=2"}), std::nullopt);
  EXPECT_TRUE(values.quiet);
  EXPECT_EQ(values.folder, "there");
  EXPECT_EQ(values.labels, (std::vector<std::string>{"a=1", "b=2"}));
}

TEST(Settings, EndsTheProgramOnAWrongOptionAndOnHelp) {
  Values values;
  testing::internal::CaptureStderr();
  EXPECT_EQ(Parse(values, {"--cuont", "3"}), 2);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("cuont"), std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_EQ(Parse(values, {"--count", "three"}), 2);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("count"), std::string::npos);
  testing::internal::CaptureStdout();
  EXPECT_EQ(Parse(values, {"--help"}), 0);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("--some-name"), std::string::npos);
}

TEST(CommonSettings, PutsTheSocketsBelowTheDataFolder) {
  const TempDir dir;
  CommonSettings settings{.data_dir = dir.path() / "data",
                          .log_level = "error",
                          .client_endpoint = "",
                          .worker_endpoint = "tcp://127.0.0.1:5571",
                          .event_endpoint = ""};
  FinishCommonSettings(settings, "test");
  EXPECT_EQ(settings.client_endpoint, "ipc://" + (dir.path() / "data/run/client.sock").string());
  EXPECT_EQ(settings.worker_endpoint, "tcp://127.0.0.1:5571");
  EXPECT_TRUE(std::filesystem::is_directory(dir.path() / "data/run"));
}

TEST(CommonSettings, RefusesADataFolderWhosePathIsTooLongForSockets) {
  CommonSettings settings{.data_dir = "/tmp/" + std::string(120, 'x'),
                          .log_level = "error",
                          .client_endpoint = "",
                          .worker_endpoint = "",
                          .event_endpoint = ""};
  EXPECT_THROW(FinishCommonSettings(settings, "test"), Error);
}

}  // namespace
}  // namespace millrace
