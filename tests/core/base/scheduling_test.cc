#include "core/base/scheduling.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

namespace millrace {
namespace {

// The length of this thread's turns; nullopt where the kernel does not tell (before Linux 6.12).
std::optional<int64_t> TurnNs() {
  std::ifstream facts("/proc/thread-self/sched");
  for (std::string line; std::getline(facts, line);) {
    if (line.starts_with("se.slice")) return std::stoll(line.substr(line.find(':') + 1));
  }
  return std::nullopt;
}

TEST(Scheduling, GivesAThreadShortTurnsAndItsUsualOnesAgain) {
  std::thread([] {
    const std::optional<int64_t> usual = TurnNs();
    if (!usual) GTEST_SKIP() << "the kernel knows no turns of different lengths";
    AskForShortTurns();
    EXPECT_LT(*TurnNs(), *usual);
    AskForUsualTurns();
    EXPECT_EQ(*TurnNs(), *usual);
  }).join();
}

TEST(Scheduling, IsInheritedByThreads) {
  std::thread([] {
    AskForShortTurns();
    const std::optional<int64_t> own = TurnNs();
    std::thread([&] { EXPECT_EQ(TurnNs(), own); }).join();
  }).join();
}

}  // namespace
}  // namespace millrace
