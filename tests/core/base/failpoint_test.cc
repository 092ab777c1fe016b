#include "core/base/failpoint.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "core/base/error.h"

namespace millrace {
namespace {

// Runs each test in a process of its own, as a process reads the variable only once.
class FailpointTest : public testing::Test {
 protected:
  FailpointTest() { testing::FLAGS_gtest_death_test_style = "threadsafe"; }

  static void Set(const char* value) { setenv("MILLRACE_FAILPOINTS", value, 1); }

  // Returns how often a place was passed before it threw; -1 if it did not throw in 10 passes.
  static int PassesUntilError(std::string_view name) {
    for (int i = 0; i < 10; ++i) {
      try {
        Failpoint(name);
      } catch (const Error& error) {
        return error.code() == ErrorCode::kStorageError ? i : -2;
      }
    }
    return -1;
  }
};

using FailpointDeathTest = FailpointTest;

TEST_F(FailpointDeathTest, DoesNothingWithoutTheVariable) {
  EXPECT_EXIT(
      {
        unsetenv("MILLRACE_FAILPOINTS");
        std::exit(PassesUntilError("broker.after_commit") == -1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        Set("broker.before_commit=crash");
        std::exit(PassesUntilError("broker.after_commit") == -1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "broker.before_commit=crash");
}

TEST_F(FailpointDeathTest, EndsTheProcessAsAKillWould) {
  EXPECT_EXIT(
      {
        Set("a.b=crash");
        std::atexit([] { std::cerr << "exit handlers ran"; });
        Failpoint("a.b");
      },
      testing::KilledBySignal(SIGKILL), "a.b");
}

TEST_F(FailpointDeathTest, ActsOnceAtTheNthPass) {
  EXPECT_EXIT(
      {
        Set("a=error@3;b=error");
        const bool third = PassesUntilError("a") == 2 && PassesUntilError("a") == -1;
        std::exit(third && PassesUntilError("b") == 0 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(FailpointDeathTest, CanNameOnePlaceSeveralTimes) {
  EXPECT_EXIT(
      {
        Set("a=error@2;a=error@5;");
        std::exit(PassesUntilError("a") == 1 && PassesUntilError("a") == 2 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(FailpointDeathTest, RefusesAMalformedVariable) {
  for (const char* wrong : {"a", "=crash", "a=explode", "a=crash@0", "a=crash@x", "a=crash@",
                            "a=crash@1x", "b=error;a", "a=crash @2"}) {
    EXPECT_EXIT(
        {
          Set(wrong);
          Failpoint("other");
          std::exit(0);
        },
        testing::ExitedWithCode(2), "MILLRACE_FAILPOINTS: .* is not ")
        << wrong;
  }
}

}  // namespace
}  // namespace millrace
