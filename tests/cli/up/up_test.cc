// `millrace up` with fake programs (tests/fakes/fake_service_program.cc).

#include "cli/up/up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>

#include "core/base/error.h"
#include "core/base/unique_fd.h"
#include "tests/cli/up/running_program.h"
#include "tests/fakes/fake_http_server.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::cli {
namespace {

using testing::HasSubstr;

class UpTest : public testing::Test {
 protected:
  UpTest() {
    for (const char* name : {"millrace-api", "millrace-broker", "millrace-worker"}) {
      std::filesystem::create_symlink(FAKE_SERVICE_PROGRAM, dir_.path() / name);
    }
    std::filesystem::create_directory(data_dir());
  }

  std::filesystem::path data_dir() const { return dir_.path() / "data"; }

  std::vector<std::string> Arguments(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"up", "--programs-dir", dir_.path().string(),
                                          "--verbose"};
    const auto given = [&more](const char* name) {
      return std::ranges::find(more, name) != more.end();
    };
    if (!given("--port")) arguments.insert(arguments.end(), {"--port", "0"});
    if (!given("--drain-timeout")) arguments.insert(arguments.end(), {"--drain-timeout", "1"});
    if (!given("--data-dir")) {
      arguments.insert(arguments.end(), {"--data-dir", data_dir().string()});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // The process id in a line like "millrace: broker started (process 12)".
  static pid_t PidIn(const std::string& line) {
    return std::stoi(line.substr(line.find("process ") + 8));
  }

  std::vector<std::string> Stopped() const {
    std::ifstream file(data_dir() / "stopped");
    std::vector<std::string> names;
    for (std::string name; std::getline(file, name);) names.push_back(name);
    return names;
  }

  TempDir dir_;
};

// Returns whether a process, ours or not, ends before a deadline.
bool Ends(pid_t pid) {
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return errno == ESRCH;
  pollfd event = {.fd = process.get(), .events = POLLIN, .revents = 0};
  return poll(&event, 1, 30'000) == 1;
}

bool IsThere(pid_t pid) { return kill(pid, 0) == 0; }

TEST_F(UpTest, PrintsTheUrlAndStopsWorkersThenApiThenBroker) {
  RunningProgram up(MillraceProgram(), Arguments());
  EXPECT_THAT(up.WaitForLine("ready"), HasSubstr("http://127.0.0.1:"));
  up.Signal(SIGTERM);
  EXPECT_EQ(up.WaitForEnd(), 0);
  EXPECT_THAT(Stopped(), testing::ElementsAre("millrace-worker", "millrace-worker", "millrace-api",
                                              "millrace-broker"));
}

TEST_F(UpTest, RestartsAKilledProgram) {
  RunningProgram up(MillraceProgram(), Arguments({"--workers", "1"}));
  const pid_t broker = PidIn(up.WaitForLine("broker started"));
  const pid_t api = PidIn(up.WaitForLine("api started"));
  const pid_t worker = PidIn(up.WaitForLine("worker-1 started"));
  up.WaitForLine("ready");
  for (const auto& [name, pid] :
       {std::pair("broker", broker), {"api", api}, {"worker-1", worker}}) {
    SCOPED_TRACE(name);
    kill(pid, SIGKILL);
    EXPECT_THAT(up.WaitForLine(name), HasSubstr("was killed by signal 9"));
    const pid_t second = PidIn(up.WaitForLine(std::string(name) + " started"));
    EXPECT_NE(second, pid);
    EXPECT_TRUE(IsThere(second));
  }
  up.Signal(SIGINT);
  EXPECT_EQ(up.WaitForEnd(), 0);
}

TEST_F(UpTest, RefusesADataFolderThatIsInUse) {
  RunningProgram first(MillraceProgram(), Arguments());
  first.WaitForLine("ready");
  const ProgramResult second = RunMillrace(Arguments());
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.err, HasSubstr("is in use by another 'millrace up' (process " +
                                    std::to_string(first.pid()) + ")"));
}

TEST_F(UpTest, RefusesAPortInUse) {
  const FakeHttpServer other([](const FakeHttpRequest&) { return FakeHttpReply{}; });
  const ProgramResult result = RunMillrace(Arguments({"--port", std::to_string(other.port())}));
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr(std::to_string(other.port()) + " is already in use"));
}

TEST_F(UpTest, GivesUpOnAProgramThatCannotStartAndShowsItsLog) {
  std::ofstream(data_dir() / "broken") << "yes";
  const ProgramResult result = RunMillrace(Arguments());
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("exited with status 7 again and again; giving up"));
  EXPECT_THAT(result.err, HasSubstr(" is broken"));
}

TEST_F(UpTest, KillsAProgramThatDoesNotStopInTime) {
  RunningProgram up(MillraceProgram(), Arguments({"--workers", "1"}));
  const pid_t worker = PidIn(up.WaitForLine("worker-1 started"));
  up.WaitForLine("ready");
  std::ofstream(data_dir() / "stubborn") << "yes";
  up.Signal(SIGTERM);
  up.WaitForLine("worker-1 did not stop within");
  EXPECT_TRUE(IsThere(up.pid()));
  std::filesystem::remove(data_dir() / "stubborn");
  EXPECT_EQ(up.WaitForEnd(), 0);
  EXPECT_FALSE(IsThere(worker));
}

TEST_F(UpTest, StopsAtOnceOnASecondSignal) {
  RunningProgram up(MillraceProgram(), Arguments({"--drain-timeout", "3600"}));
  const pid_t broker = PidIn(up.WaitForLine("broker started"));
  up.WaitForLine("ready");
  std::ofstream(data_dir() / "stubborn") << "yes";
  up.Signal(SIGTERM);
  up.WaitForLine("signal again to stop at once");
  up.Signal(SIGTERM);
  EXPECT_EQ(up.WaitForEnd(), 0);
  EXPECT_FALSE(IsThere(broker));
}

TEST_F(UpTest, LeavesNoProcessWhenItIsKilled) {
  RunningProgram up(MillraceProgram(), Arguments({"--workers", "1"}));
  const pid_t broker = PidIn(up.WaitForLine("broker started"));
  const pid_t api = PidIn(up.WaitForLine("api started"));
  const pid_t worker = PidIn(up.WaitForLine("worker-1 started"));
  up.WaitForLine("ready");
  up.Signal(SIGKILL);
  EXPECT_EQ(up.WaitForEnd(), -SIGKILL);
  for (const pid_t pid : {broker, api, worker}) EXPECT_TRUE(Ends(pid));
}

TEST_F(UpTest, PutsSocketsInATemporaryFolderIfThePathIsTooLong) {
  const std::filesystem::path far = data_dir() / std::string(100, 'x');
  std::filesystem::create_directory(far);
  RunningProgram up(MillraceProgram(), Arguments({"--data-dir", far.string()}));
  up.WaitForLine("ready");
  up.Signal(SIGTERM);
  EXPECT_EQ(up.WaitForEnd(), 0);
}

TEST_F(UpTest, ListensOnTheGivenAddress) {
  EXPECT_THROW(ChoosePort("localhost", 0), Error);
  EXPECT_NE(ChoosePort("127.0.0.1", 0), 0);
}

}  // namespace
}  // namespace millrace::cli
