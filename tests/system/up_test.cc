#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "core/base/files.h"
#include "tests/fakes/temp_dir.h"
#include "tests/system/process_table.h"
#include "tests/system/service_test.h"

// `millrace up` with the real programs.

namespace millrace::harness {
namespace {

// Runs `millrace up` on a free port.
class Up {
 public:
  Up()
      : program_({.program = ProgramPath("millrace"),
                  .arguments = {"up", "--data-dir", (folder_.path() / "data").string(), "--port",
                                "0", "--workers", "2"},
                  .out = out_,
                  .err = folder_.path() / "err"}) {
    const bool ready = Eventually([this] { return !Url().empty() || !program_.Running(); }, 60s);
    if (!ready || !program_.Running()) {
      throw std::runtime_error("millrace up did not start: " + TailOf(folder_.path() / "err", 40));
    }
  }

  // Returns the printed URL; empty before it is printed.
  std::string Url() const {
    std::ifstream file(out_);
    for (std::string line; std::getline(file, line);) {
      const size_t start = line.find("http://");
      if (start != std::string::npos) return line.substr(start, line.find(' ', start) - start);
    }
    return "";
  }

  // Returns the running process of that program; 0 if there is none.
  pid_t Find(const std::string& name, pid_t other_than = 0) const {
    for (const pid_t pid : ChildrenOf(program_.pid())) {
      if (ProgramNameOf(pid) == name && pid != other_than) return pid;
    }
    return 0;
  }

  Program& program() { return program_; }

 private:
  const TempDir folder_;
  const std::filesystem::path out_ = folder_.path() / "out";
  Program program_;
};

bool Works(Client& client, const std::string& upload) {
  const HttpAnswer answer = client.http().Send(
      {.method = "POST",
       .path = "/v1/jobs",
       .headers = {"Content-Type: application/json"},
       .body = json{{"input", {{"upload", upload}}}, {"outputs", QuickOutputs()}}.dump()});
  if (answer.status != 202) return false;
  return client.WaitForEnd(answer.Json().at("id")).at("state") == "succeeded";
}

TEST(UpTest, RestartsEachOfItsChildren) {
  Up up;
  Client client(up.Url());
  const std::string upload = client.Upload(fixtures::FixturePath("tiny-16x16.mp4"));
  ASSERT_TRUE(Works(client, upload));
  for (const char* name : {"millrace-broker", "millrace-api", "millrace-worker"}) {
    SCOPED_TRACE(name);
    const pid_t victim = up.Find(name);
    ASSERT_NE(victim, 0);
    ASSERT_EQ(kill(victim, SIGKILL), 0);
    EXPECT_TRUE(Eventually([&] { return up.Find(name, victim) != 0 && !IsAlive(victim); }, 30s))
        << "it was not restarted";
    EXPECT_TRUE(Eventually([&] { return Works(client, upload); }, 60s));
  }
}

TEST(UpTest, StopsOnSigtermAndLeavesNoProcess) {
  Up up;
  const std::vector<pid_t> processes = DescendantsOf(up.program().pid());
  EXPECT_GE(processes.size(), 6u) << "broker, api, two workers and their zygotes";
  up.program().Signal(SIGTERM);
  const auto end = up.program().WaitFor(30s);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 0);
  for (const pid_t pid : processes) EXPECT_FALSE(IsAlive(pid)) << pid;
}

TEST(UpTest, LeavesNoProcessWhenItIsKilledItself) {
  Up up;
  const std::vector<pid_t> processes = DescendantsOf(up.program().pid());
  up.program().Kill();
  for (const pid_t pid : processes) {
    EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }, 30s)) << ProgramNameOf(pid);
  }
}

TEST(UpTest, RefusesASecondOneOnTheSameDataFolder) {
  const TempDir folder;
  const std::string data = folder.path() / "data";
  Program first({.program = ProgramPath("millrace"),
                 .arguments = {"up", "--data-dir", data, "--port", "0", "--workers", "1"},
                 .out = folder.path() / "out"});
  ASSERT_TRUE(Eventually(
      [&] { return TailOf(folder.path() / "out", 5).find("http://") != std::string::npos; }, 60s));
  const CommandResult second = RunCommand(
      {.program = ProgramPath("millrace"), .arguments = {"up", "--data-dir", data, "--port", "0"}},
      20s);
  EXPECT_NE(second.end.exit_status, 0);
  EXPECT_EQ(second.end.signal, 0) << "it was not refused";
  EXPECT_NE(second.err.find(data), std::string::npos) << second.err;
}

}  // namespace
}  // namespace millrace::harness
